"""The base of all flows: services, transactions, postings, caches, batches and due work.

May import `domain`, `clock`, `settings` and the adapters: `gate`, `ledger`, `store`, `signals`, `payouts`.
"""
