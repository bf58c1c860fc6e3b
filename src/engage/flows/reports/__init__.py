"""Reports for finance: liability, past balances, and their CSV form.

May import `domain`, `runtime`, `ledger` and `store`. Reports read snapshots on a connection of their own.
"""
