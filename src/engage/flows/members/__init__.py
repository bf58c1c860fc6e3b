"""Members: registration, import from a file, update, adjustment, merge and erasure.

May import `domain`, `runtime`, `ledger`, `store` and `flows.orders`, which joins the orders of merged
members.
"""
