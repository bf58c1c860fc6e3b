"""Referrals: codes of invitations, claims of friends, and what follows from both.

May import `domain`, `runtime`, `ledger` and `store`; `flows.members` uses codes at the registration.
"""
