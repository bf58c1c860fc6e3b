"""Faults: a module a kind, and a table of all by name."""
