"""Budgets of campaigns: their totals, what is left of them, what came back, and the alerts.

What is left is spread over slices, so that no row is shared by all credits.
"""

from sqlalchemy import BigInteger, Index, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text, Uuid, text

from engage.schema.columns import IDENTIFIER, INSTANT, check, metadata, one_of, optional, required

# Null is without a limit. A limit that was lowered is never below what had been used by then.
campaign_budgets = Table(
    "campaign_budgets",
    metadata,
    required("program_id", IDENTIFIER),
    required("campaign_id", IDENTIFIER),
    optional("points", BigInteger),
    optional("count", BigInteger),
    PrimaryKeyConstraint("program_id", "campaign_id"),
)

campaign_budget_slices = Table(
    "campaign_budget_slices",
    metadata,
    required("program_id", IDENTIFIER),
    required("campaign_id", IDENTIFIER),
    required("slice", SmallInteger),
    optional("points_left", BigInteger),
    optional("count_left", BigInteger),
    PrimaryKeyConstraint("program_id", "campaign_id", "slice"),
    check("campaign_budget_slices_left_check", "points_left >= 0 AND count_left >= 0"),
    postgresql_with={"fillfactor": 50},
)

# Written with the correction that takes a credit back, and added to a slice soon after.
campaign_budget_returns = Table(
    "campaign_budget_returns",
    metadata,
    required("id", Uuid),
    required("program_id", IDENTIFIER),
    required("campaign_id", IDENTIFIER),
    required("at", INSTANT),
    required("points", BigInteger),
    required("count", Integer),
    PrimaryKeyConstraint("id"),
    Index("campaign_budget_returns_at", "at"),
    check("campaign_budget_returns_check", "points >= 0 AND count >= 0 AND points + count > 0"),
)

# An outbox: written with the credit that reaches the percentage of a total, and published once to operators.
campaign_alerts = Table(
    "campaign_alerts",
    metadata,
    required("program_id", IDENTIFIER),
    required("campaign_id", IDENTIFIER),
    required("of", Text),
    required("total", BigInteger),
    required("percent", SmallInteger),
    required("at", INSTANT),
    optional("published_at", INSTANT),
    PrimaryKeyConstraint("program_id", "campaign_id", "of", "total", "percent"),
    one_of("campaign_alerts_of_check", "of", "points", "count"),
    Index("campaign_alerts_unpublished", "at", postgresql_where=text("published_at IS NULL")),
)
