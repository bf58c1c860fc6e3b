"""Rows of protection against farming: places, suspicions, and the credits that are held."""
