"""Events of the shop's server: orders and their returns, sign-ins, removed reviews and shares.

May import `domain`, `runtime`, `ledger`, `store`, `flows.activities`, which records sign-ins,
`flows.members`, which finds members by card, and `flows.orders`.
"""
