"""Activities: record what members did, and credit them within the limits of the rules.

May import `domain`, `runtime`, `gate`, `ledger` and `store`, and no other flows package.
"""
