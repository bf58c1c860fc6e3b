"""Operators: people who work with the console. Their roles, and the rules of passwords and of signing in."""
