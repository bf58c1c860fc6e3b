"""Attempts at quizzes."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

QUIZ_ATTEMPTS = """
CREATE TABLE quiz_attempts (
    program_id  text COLLATE "C" NOT NULL,
    member_id   text COLLATE "C" NOT NULL,
    id          uuid NOT NULL,
    quiz_id     text COLLATE "C" NOT NULL,
    version     text COLLATE "C" NOT NULL,
    of_window   text COLLATE "C" NOT NULL,
    number      smallint NOT NULL CHECK (number > 0),
    allowed     smallint NOT NULL,
    seed        bytea NOT NULL,
    started_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    answered_at timestamptz,
    answers     jsonb,
    correct     smallint,
    points      bigint,
    credit_id   uuid,
    PRIMARY KEY (program_id, member_id, id),
    CONSTRAINT quiz_attempts_in_time_check CHECK (answered_at >= started_at AND answered_at < expires_at),
    CONSTRAINT quiz_attempts_answered_check CHECK (
        num_nulls(answered_at, answers, correct, points) IN (0, 4)
        AND (credit_id IS NOT NULL) = (coalesce(points, 0) > 0)
    )
) WITH (fillfactor = 80)
"""

PLACES = """
CREATE UNIQUE INDEX quiz_attempts_place ON quiz_attempts (member_id, program_id, quiz_id, of_window, number)
"""

OPEN = """
CREATE INDEX quiz_attempts_open ON quiz_attempts (member_id, program_id, quiz_id, expires_at)
WHERE answered_at IS NULL
"""


def upgrade() -> None:
    op.execute(QUIZ_ATTEMPTS)
    op.execute(PLACES)
    op.execute(OPEN)


def downgrade() -> None:
    op.execute("DROP TABLE quiz_attempts")
