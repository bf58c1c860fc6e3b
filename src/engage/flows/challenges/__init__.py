"""Challenges: how far members are, and what their steps pay.

May import `domain`, `runtime`, `ledger`, `store`, and `flows.rewards`, which gives what steps give.
"""
