"""Instant wins: commit seeds, play, reveal.

May import `domain`, `runtime`, `ledger`, `store`, and the flows of activities and rewards.
"""
