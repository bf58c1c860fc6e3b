"""Attempts at quizzes: the paper's seed, and the answers with their grade."""

from sqlalchemy import BigInteger, Index, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, optional, required
from engage.schema.member_rows import Delete, Statement, member_rows

# The attempts of both count. All of the merged member's, and those of the survivor that may still be
# answered, get numbers that neither has used, so that no credit's source key is ever wanted twice.
_MERGE = """
WITH latest AS MATERIALIZED (
    SELECT quiz_id, of_window, max(number) AS number FROM quiz_attempts
    WHERE program_id = :program_id AND member_id IN (:member_id, :into) GROUP BY quiz_id, of_window
), renumbered AS MATERIALIZED (
    SELECT a.id, l.number + row_number() OVER (PARTITION BY a.quiz_id, a.of_window ORDER BY a.id) AS number
    FROM quiz_attempts a JOIN latest l USING (quiz_id, of_window)
    WHERE a.program_id = :program_id
      AND (a.member_id = :member_id OR (a.member_id = :into AND a.answered_at IS NULL))
)
UPDATE quiz_attempts a SET member_id = :into, number = r.number
FROM renumbered r
WHERE a.program_id = :program_id AND a.member_id IN (:member_id, :into) AND a.id = r.id
"""

# `of_window` is the label of the window that the attempt counts in, `number` its place there, `allowed` how
# many the quiz allowed then. `version` is that of the quiz, which may have changed since. `credit_id` is what
# it paid.
quiz_attempts = Table(
    "quiz_attempts",
    metadata,
    *member_key(),
    required("id", Uuid),
    required("quiz_id", IDENTIFIER),
    required("version", IDENTIFIER),
    required("of_window", IDENTIFIER),
    required("number", SmallInteger),
    required("allowed", SmallInteger),
    required("seed", LargeBinary),
    required("started_at", INSTANT),
    required("expires_at", INSTANT),
    optional("answered_at", INSTANT),
    optional("answers", JSONB),
    optional("correct", SmallInteger),
    optional("points", BigInteger),
    optional("credit_id", Uuid),
    PrimaryKeyConstraint("program_id", "member_id", "id"),
    Index(
        "quiz_attempts_place",
        *("member_id", "program_id", "quiz_id", "of_window", "number"),
        unique=True,
    ),
    Index(
        "quiz_attempts_open",
        *("member_id", "program_id", "quiz_id", "expires_at"),
        postgresql_where=text("answered_at IS NULL"),
    ),
    check("quiz_attempts_number_check", "number > 0"),
    check("quiz_attempts_in_time_check", "answered_at >= started_at AND answered_at < expires_at"),
    check(
        "quiz_attempts_answered_check",
        "num_nulls(answered_at, answers, correct, points) IN (0, 4)"
        " AND (credit_id IS NOT NULL) = (coalesce(points, 0) > 0)",
    ),
    postgresql_with={"fillfactor": 80},
    info=member_rows(merge=Statement(_MERGE), erase=Delete()),
)
