"""Events of the shop's server: orders and their returns, sign-ins, removed reviews and shares.

May import `domain`, `runtime`, `ledger`, `store`, `flows.activities`, which records sign-ins, and
`flows.members`, which finds members by card.
"""
