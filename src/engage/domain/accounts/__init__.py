"""The account of a member: arithmetic on credits, lots, holds and debt, without a database.

Balance, expiration and liability are pure functions of it. The ledger reads and writes what it changes.
"""
