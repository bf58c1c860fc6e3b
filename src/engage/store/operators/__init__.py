"""Operators of the console, and their sessions."""
