"""Leaderboards: count scores, show ranks, close periods and pay their prizes.

May import `domain`, `runtime`, `gate`, `ledger` and `store`, and no other flows package.
"""
