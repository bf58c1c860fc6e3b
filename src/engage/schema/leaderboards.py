"""Leaderboards: periods, the scores of members in them, and the names that members chose."""

from sqlalchemy import BigInteger, Index, PrimaryKeyConstraint, Table, Text, text

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, optional, required
from engage.schema.member_rows import Delete, Rewrite, Statement, member_rows

# A period is written under the version of its board with which it began. `paid_to` is the last rank whose
# prize is paid; `prizes_to` the last one that has a prize.
board_periods = Table(
    "board_periods",
    metadata,
    required("program_id", IDENTIFIER),
    required("board_id", IDENTIFIER),
    required("period", IDENTIFIER),
    required("version", Text),
    optional("closes_at", INSTANT),
    optional("closed_at", INSTANT),
    required("members", BigInteger, "0"),
    required("prizes_to", BigInteger, "0"),
    required("paid_to", BigInteger, "0"),
    PrimaryKeyConstraint("program_id", "board_id", "period"),
    check("board_periods_closed_check", "closed_at >= closes_at"),
    check("board_periods_paid_check", "paid_to BETWEEN 0 AND prizes_to"),
    Index(
        "board_periods_closing",
        "closes_at",
        postgresql_where=text("closed_at IS NULL OR paid_to < prizes_to"),
    ),
)

_OPEN = """EXISTS (
    SELECT FROM board_periods p
    WHERE p.program_id = s.program_id AND p.board_id = s.board_id AND p.period = s.period
      AND p.closed_at IS NULL
)"""

# A row of no score is no longer on the board. Its version still rises, so that it leaves Valkey too.
board_scores = Table(
    "board_scores",
    metadata,
    *member_key(),
    required("board_id", IDENTIFIER),
    required("period", IDENTIFIER),
    required("score", BigInteger),
    required("reached_at", INSTANT),
    required("version", BigInteger, "1"),
    PrimaryKeyConstraint("program_id", "board_id", "period", "member_id"),
    check("board_scores_score_check", "score >= 0"),
    Index(
        "board_scores_rank",
        *("program_id", "board_id", "period", text("score DESC"), "reached_at", "member_id"),
        postgresql_where=text("score > 0"),
    ),
    Index("board_scores_of_member", "program_id", "member_id"),
    postgresql_with={"fillfactor": 80},
    info=member_rows(
        # What both scored is the survivor's: the reaction to the merger counts it.
        merge=Statement(f"""
            UPDATE board_scores s SET score = 0, version = s.version + 1
            WHERE s.program_id = :program_id AND s.member_id = :member_id AND {_OPEN}
        """),  # noqa: S608  # Names of the schema.
        erase=Rewrite(
            {"score": "0", "version": "version + 1"},
            where=_OPEN.replace("s.", "board_scores."),
        ),
    ),
)

display_names = Table(
    "display_names",
    metadata,
    *member_key(),
    required("name", Text),
    PrimaryKeyConstraint("program_id", "member_id"),
    info=member_rows(
        merge=Statement("""
            WITH moved AS (
                DELETE FROM display_names WHERE program_id = :program_id AND member_id = :member_id
                RETURNING program_id, name
            )
            INSERT INTO display_names (program_id, member_id, name) SELECT program_id, :into, name FROM moved
            ON CONFLICT DO NOTHING
        """),
        erase=Delete(),
    ),
)
