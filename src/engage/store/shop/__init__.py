"""Rows of orders and of the events that the shop has sent, and their checks for the audit."""
