"""Operators of the console: their accounts, signing in, sessions, passwords and second factors."""
