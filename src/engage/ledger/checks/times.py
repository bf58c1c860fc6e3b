"""Times: what is in the ledger has happened."""

from engage.audit import Check, later_than_now

TIME_CHECKS = (
    Check(
        "ledger_is_of_the_past",
        "Nothing in the ledger happened in the future.",
        later_than_now(
            {
                "credits": ("accepted_at", "active_at", "reversed_at"),
                "entries": ("at",),
                "lots": ("active_at",),
                "lot_moves": ("at",),
                "reductions": ("at",),
                "holds": ("created_at", "closed_at"),
            }
        ),
    ),
)
