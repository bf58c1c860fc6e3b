"""Backtests: what was asked for, the parts that workers share, and what members would gain."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

BACKTESTS = """
CREATE TABLE backtests (
    program_id  text COLLATE "C" NOT NULL,
    id          uuid NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    document    jsonb NOT NULL,
    from_at     timestamptz NOT NULL,
    until_at    timestamptz NOT NULL,
    created_at  timestamptz NOT NULL,
    operator    text NOT NULL,
    state       text NOT NULL DEFAULT 'running',
    planned_to  text COLLATE "C",
    budget      jsonb,
    result      jsonb,
    progress    double precision NOT NULL DEFAULT 0,
    reason      text,
    ended_at    timestamptz,
    PRIMARY KEY (program_id, id),
    CONSTRAINT backtests_state_check CHECK (state IN ('running', 'done', 'cancelled', 'failed')),
    CONSTRAINT backtests_window_check CHECK (from_at < until_at AND until_at <= created_at),
    CONSTRAINT backtests_ended_check CHECK ((state = 'running') = (ended_at IS NULL)),
    CONSTRAINT backtests_result_check CHECK ((state = 'done') = (result IS NOT NULL)),
    CONSTRAINT backtests_reason_check CHECK ((state = 'failed') = (reason IS NOT NULL))
)
"""

PARTS = """
CREATE TABLE backtest_parts (
    program_id   text COLLATE "C" NOT NULL,
    backtest_id  uuid NOT NULL,
    after_member text COLLATE "C" NOT NULL,
    to_member    text COLLATE "C" NOT NULL,
    members      integer NOT NULL,
    state        text NOT NULL DEFAULT 'waiting',
    hours        bytea,
    entries      bytea,
    sums         bytea,
    PRIMARY KEY (program_id, backtest_id, after_member),
    CONSTRAINT backtest_parts_state_check CHECK (state IN ('waiting', 'decided', 'closed')),
    CONSTRAINT backtest_parts_range_check CHECK (after_member < to_member),
    CONSTRAINT backtest_parts_entries_check CHECK ((state = 'decided') = (entries IS NOT NULL)),
    CONSTRAINT backtest_parts_sums_check CHECK ((state = 'closed') = (sums IS NOT NULL))
)
"""

GAINS = """
CREATE TABLE backtest_gains (
    program_id  text COLLATE "C" NOT NULL,
    member_id   text COLLATE "C" NOT NULL,
    backtest_id uuid NOT NULL,
    points      bigint NOT NULL,
    PRIMARY KEY (program_id, backtest_id, member_id),
    CONSTRAINT backtest_gains_points_check CHECK (points > 0)
)
"""

INDEXES = (
    "CREATE INDEX backtests_running ON backtests (created_at) WHERE state = 'running'",
    "CREATE INDEX backtest_parts_open ON backtest_parts (backtest_id, state) WHERE state <> 'closed'",
)


def upgrade() -> None:
    for statement in (BACKTESTS, PARTS, GAINS, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    for table in ("backtest_gains", "backtest_parts", "backtests"):
        op.execute(f"DROP TABLE {table}")
