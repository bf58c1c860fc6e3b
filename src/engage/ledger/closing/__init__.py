"""The ledger of a member who is merged into another one or erased."""
