"""Tiers: levels of members on the home screen, for the shop and for operators, and what reactions store.

May import `domain`, `runtime`, `ledger` and `store`, and no other flows package.
"""
