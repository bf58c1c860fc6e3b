"""The ledger in PostgreSQL: credits, lots, balances, entries and holds, posted under the lock of a member.

May import `domain`, `schema` and `store`. It opens no transaction of its own: flows do.
"""
