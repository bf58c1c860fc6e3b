"""Withdrawals: members request them, workers or a counter pay them out, operators confirm and reconcile them.

May import `domain`, `runtime`, `ledger`, `store` and `payouts`, and no other flows package.
"""
