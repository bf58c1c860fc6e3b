"""Instant wins: games whose outcomes follow from a committed seed and the number of each play.

Imports definitions, fairness, calendar, earning, simulation and, for prizes, rewards. docs/games.md says how
an outcome is computed.
"""
