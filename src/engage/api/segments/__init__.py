"""Operators define segments and see them."""
