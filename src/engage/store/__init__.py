"""Everything in PostgreSQL besides the ledger: a folder for each feature, with its statements and its checks.

May import `domain`, `schema` and `audit`. Flows open the transactions.
"""
