"""Members: registration, import from a file, update, adjustment, merge and erasure.

May import `domain`, `runtime`, `ledger` and `store`.
"""
