"""Operators: who signs in to the console, with which role, for which programs."""
