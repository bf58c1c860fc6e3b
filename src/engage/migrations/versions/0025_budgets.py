"""Budgets of campaigns."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

BUDGETS = """
CREATE TABLE campaign_budgets (
    program_id  text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    points      bigint,
    count       bigint,
    PRIMARY KEY (program_id, campaign_id)
)
"""

SLICES = """
CREATE TABLE campaign_budget_slices (
    program_id  text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    slice       smallint NOT NULL,
    points_left bigint,
    count_left  bigint,
    PRIMARY KEY (program_id, campaign_id, slice),
    CONSTRAINT campaign_budget_slices_left_check CHECK (points_left >= 0 AND count_left >= 0)
) WITH (fillfactor = 50)
"""

RETURNS = """
CREATE TABLE campaign_budget_returns (
    id          uuid NOT NULL,
    program_id  text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,
    points      bigint NOT NULL,
    count       integer NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT campaign_budget_returns_check CHECK (points >= 0 AND count >= 0 AND points + count > 0)
)
"""

ALERTS = """
CREATE TABLE campaign_alerts (
    program_id   text COLLATE "C" NOT NULL,
    campaign_id  text COLLATE "C" NOT NULL,
    of           text NOT NULL CONSTRAINT campaign_alerts_of_check CHECK (of IN ('points', 'count')),
    total        bigint NOT NULL,
    percent      smallint NOT NULL,
    at           timestamptz NOT NULL,
    published_at timestamptz,
    PRIMARY KEY (program_id, campaign_id, of, total, percent)
)
"""

INDEXES = (
    "CREATE INDEX campaign_budget_returns_at ON campaign_budget_returns (at)",
    "CREATE INDEX campaign_alerts_unpublished ON campaign_alerts (at) WHERE published_at IS NULL",
    # By member, for limits that each member has.
    "DROP INDEX credits_campaign",
    "CREATE INDEX credits_campaign ON credits (program_id, campaign, member_id) WHERE campaign IS NOT NULL",
)


def upgrade() -> None:
    for statement in (BUDGETS, SLICES, RETURNS, ALERTS, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX credits_campaign")
    op.execute(
        "CREATE INDEX credits_campaign ON credits (program_id, campaign, activity_at)"
        " WHERE campaign IS NOT NULL"
    )
    for table in ("alerts", "budget_returns", "budget_slices", "budgets"):
        op.execute(f"DROP TABLE campaign_{table}")
