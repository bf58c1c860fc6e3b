"""Prize draws: members enter, the list is frozen, the beacon decides, prizes are paid, certificates prove it.

May import `domain`, `runtime`, `ledger`, `store` and `beacons`, and no other flows package.
"""
