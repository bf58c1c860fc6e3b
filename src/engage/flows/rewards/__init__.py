"""Rewards: the catalogue, redemptions, and the coupons and F-codes that come of them.

May import `domain`, `runtime`, `ledger`, `store`, and `flows.checkout`, whose timed-out holds are released
before points are spent.
"""
