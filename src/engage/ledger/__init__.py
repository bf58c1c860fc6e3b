"""The ledger in PostgreSQL: credits, lots, balances, entries and holds, posted under the lock of a member.

May import `domain`, `schema` and `audit`. Flows open the transactions.
"""
