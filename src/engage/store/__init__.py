"""Everything in PostgreSQL but the ledger: members, orders, programs, keys, a module a table or two.

May import `domain` and `schema`. It opens no transaction of its own: flows do.
"""
