"""The gate: claims slots and counts streaks in Valkey, with a Function library in Lua.

May import `domain` only. The ledger decides in the end: everything in the gate can be lost and loaded again.
"""
