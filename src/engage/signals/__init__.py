"""Signals between processes, through Valkey: the doorbell for workers, balance changes for the feed.

May import `domain`, `clock` and `connections`. Signals may be lost: PostgreSQL knows what is due and what has
changed.
"""
