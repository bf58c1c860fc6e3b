"""Leaderboards: scores of members in periods, ranks, and prizes at the end of a period.

Imports definitions, calendar, earning and simulation; no other feature. docs/leaderboards.md describes them.
"""
