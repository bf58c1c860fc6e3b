"""Orders and the ledger: what the facts of an order say, and posting the difference.

May import `domain`, `runtime`, `ledger` and `store`. Events of the shop, captures of holds and mergers add
facts, or bring credits and holds to an order; each then posts what follows.
"""
