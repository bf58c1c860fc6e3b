"""Rows of games: runs with their seeds, plays, prizes and certificates, and their checks for the audit."""
