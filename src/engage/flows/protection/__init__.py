"""Protection against farming: the queue of suspicions, and what operators decide about them.

May import `domain`, `runtime`, `ledger` and `store`, and no other flows package.
"""
