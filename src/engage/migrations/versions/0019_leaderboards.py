"""Leaderboards: periods, scores and display names."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

PERIODS = """
CREATE TABLE board_periods (
    program_id text COLLATE "C" NOT NULL,
    board_id   text COLLATE "C" NOT NULL,
    period     text COLLATE "C" NOT NULL,
    version    text NOT NULL,
    closes_at  timestamptz,
    closed_at  timestamptz,
    members    bigint NOT NULL DEFAULT 0,
    prizes_to  bigint NOT NULL DEFAULT 0,
    paid_to    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (program_id, board_id, period),
    CONSTRAINT board_periods_closed_check CHECK (closed_at >= closes_at),
    CONSTRAINT board_periods_paid_check CHECK (paid_to BETWEEN 0 AND prizes_to)
)
"""

SCORES = """
CREATE TABLE board_scores (
    program_id text COLLATE "C" NOT NULL,
    member_id  text COLLATE "C" NOT NULL,
    board_id   text COLLATE "C" NOT NULL,
    period     text COLLATE "C" NOT NULL,
    score      bigint NOT NULL CONSTRAINT board_scores_score_check CHECK (score >= 0),
    reached_at timestamptz NOT NULL,
    version    bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (program_id, board_id, period, member_id)
) WITH (fillfactor = 80)
"""

NAMES = """
CREATE TABLE display_names (
    program_id text COLLATE "C" NOT NULL,
    member_id  text COLLATE "C" NOT NULL,
    name       text NOT NULL,
    PRIMARY KEY (program_id, member_id)
)
"""

INDEXES = (
    "CREATE INDEX board_periods_closing ON board_periods (closes_at)"
    " WHERE closed_at IS NULL OR paid_to < prizes_to",
    "CREATE INDEX board_scores_rank"
    " ON board_scores (program_id, board_id, period, score DESC, reached_at, member_id) WHERE score > 0",
    "CREATE INDEX board_scores_of_member ON board_scores (program_id, member_id)",
)


def upgrade() -> None:
    for statement in (PERIODS, SCORES, NAMES, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    for table in ("display_names", "board_scores", "board_periods"):
        op.execute(f"DROP TABLE {table}")
