"""Checks of tables that belong to no feature, for the audit."""

from engage.audit import Check

STORE_CHECKS = (
    Check(
        "published_in_time",
        "No balance change waits for more than a minute to be published.",
        """
        SELECT id, created_at, cause, cardinality(member_ids) AS members FROM outbox
        WHERE created_at < CAST(:wall AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
