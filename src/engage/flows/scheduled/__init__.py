"""Scheduled work: settlement, expiration, the table of all due work, the sweep, and the sandbox's clock.

May import `domain`, `runtime`, `ledger`, `store`, `signals`, and the `due_work` of features.
"""
