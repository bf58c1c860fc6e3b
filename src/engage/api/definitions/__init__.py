"""Operators add and change definitions. Each kind has the same calls."""
