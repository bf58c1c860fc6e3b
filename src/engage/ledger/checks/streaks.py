"""Streaks: their days follow each other, and each counts those before it."""

from engage.audit import Check, Rows
from engage.ledger.checks.decided import DECIDED
from engage.ledger.checks.published_rules import RULES, rules_as_rows

# The days of streaks: how many in a row each counts, over how many days of the calendar (`span`), the first
# of them, and the day so many rows before.
_DAYS = Rows(
    f"""
    SELECT s.*, lag(day, greatest(days, 1) - 1) OVER of_streak AS first_day,
           lag(day, days) OVER of_streak AS day_before, lag(accepted_at, days) OVER of_streak AS known_before
    FROM (
        SELECT c.account, c.rule_id, c.source_key, c.accepted_at, CAST(c.day AS date) AS day,
               c.streak_days AS days, c.streak_days + c.frozen AS span, c.zone
        FROM ({DECIDED}) c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
        WHERE r.slot_type = 'daily_streak' AND r.source_rule_id IS NULL AND c.day IS NOT NULL
          AND c.beside IS NULL
    ) s
    WINDOW of_streak AS (PARTITION BY account, rule_id, zone ORDER BY day)
    """,  # noqa: S608  # Constants, as in all queries here.
    parameters=rules_as_rows,
)

# When the day before the first one was accepted. It is the day so many rows before; where days that came late
# are between them, its key finds it.
_KNOWN_AT = """CASE WHEN day_before = day - span THEN known_before WHEN day_before > day - span THEN (
    SELECT min(c.accepted_at) FROM credits c
    WHERE c.account = r.account AND c.source_key = r.rule_id || ':' || to_char(r.day - r.span, 'YYYY-MM-DD')
      AND c.why -> 'inputs' ->> 'zone' = r.zone
) END"""

STREAK_CHECKS = (
    Check(
        "streaks_are_consecutive",
        "A day of a streak counts no more days than there are, and between them only frozen ones.",
        rows=_DAYS,
        broken="(days >= 1 AND first_day > day - span) IS NOT TRUE",
        shown="source_key, days, span, day, first_day",
    ),
    Check(
        "streaks_continue",
        "A day of a streak counts the days before it, except those that came at the same time or later.",
        rows=_DAYS,
        broken=f"{_KNOWN_AT} < accepted_at - interval '1 minute'",
        shown="source_key, days, accepted_at, day_before, known_before",
        warning=True,
    ),
    Check(
        "freezes_are_counted",
        "A freeze that a member paid for is an event of a streak.",
        """
        SELECT h.program_id, h.member_id, h.id, h.points FROM holds h
        LEFT JOIN credits c ON c.program_id = h.program_id AND c.id = h.id AND c.streak_seq IS NOT NULL
        WHERE h.purpose = 'freeze' AND c.id IS NULL
        """,
    ),
)
