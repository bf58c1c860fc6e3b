"""Reads that combine several features: home screen, balances, credits and entries, tickets for the feed.

May import `domain`, `runtime`, `ledger` and `store`. A read of one feature is in that feature's package.
"""
