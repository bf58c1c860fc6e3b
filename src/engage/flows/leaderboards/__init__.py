"""Leaderboards: count scores, show ranks, close periods and pay their prizes.

May import `domain`, `runtime`, `gate`, `ledger`, `store`, and the progress of challenges.
"""
