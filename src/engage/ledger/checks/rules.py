"""Rules: each credit has a rule, and no rule pays more often than its limit allows."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from engage.audit import Check
from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import PerWindow, SameAs
from engage.domain.keys import (
    ADJUSTMENT_RULE,
    OPENING_RULE,
    TRANSFER_RULE,
    adjustment_reference,
    opening_key,
    order_key,
)
from engage.domain.program.program import Program

# A row for each rule of each published version, from `rules_as_rows`.
RULES = """
SELECT * FROM unnest(
    CAST(:rule_programs AS text[]), CAST(:rule_versions AS text[]), CAST(:rule_ids AS text[]),
    CAST(:rule_limits AS text[]), CAST(:rule_patterns AS text[]), CAST(:rule_counts AS int[]),
    CAST(:rule_sources AS text[]), CAST(:rule_promises AS interval[])
) AS r (program_id, program_version, rule_id, limit_type, pattern, slots, source_rule_id, promise)
"""

_STREAK_DAYS = f"""
SELECT program_id, member_id, rule_id, source_key, day, days, zone,
       lag(day) OVER days_of AS day_before, lag(days) OVER days_of AS days_before,
       lag(zone) OVER days_of AS zone_before
FROM (
    SELECT c.program_id, c.member_id, c.rule_id, c.source_key,
           CAST(substring(c.source_key FROM '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$') AS date) AS day,
           CAST(c.why -> 'inputs' ->> 'streak_days' AS int) AS days, c.why -> 'inputs' ->> 'zone' AS zone
    FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
    WHERE r.limit_type = 'daily_streak' AND c.points > 0
) d
WINDOW days_of AS (PARTITION BY program_id, member_id, rule_id ORDER BY day)
"""  # noqa: S608  # Made of constants of this module, as all queries here.


def rules_as_rows(programs: Sequence[Program]) -> dict[str, list[Any]]:
    """The rules of all versions as the columns of `RULES`: the keys, slots and promises of their credits."""
    rows = [_row(program, rule) for program in programs for rule in program.rules]
    rows += [
        _Row(program, rule_id, "reserved", pattern)
        for program in programs
        for rule_id, pattern in RESERVED.items()
    ]
    return {
        "rule_programs": [row.program.id for row in rows],
        "rule_versions": [row.program.version for row in rows],
        "rule_ids": [row.rule_id for row in rows],
        "rule_limits": [row.limit for row in rows],
        "rule_patterns": [row.pattern for row in rows],
        "rule_counts": [row.count for row in rows],
        "rule_sources": [row.source for row in rows],
        "rule_promises": [row.program.promise for row in rows],
    }


# Rules that are in no program, and the source keys of their credits.
RESERVED = {
    ADJUSTMENT_RULE: f"^{adjustment_reference('.+')}$",
    OPENING_RULE: f"^{opening_key('.+')}$",
    TRANSFER_RULE: f"^{TRANSFER_RULE}:.+:[0-9a-f-]{{36}}$",
}


class _Row(Struct, frozen=True):
    program: Program
    rule_id: str
    limit: str
    pattern: str
    count: int | None = None
    source: str | None = None


def _row(program: Program, rule: Rule) -> _Row:
    limit = rule.limit
    return _Row(
        program,
        rule.id,
        limit.kind,
        _pattern(program, rule),
        limit.count if isinstance(limit, PerWindow) else None,
        limit.rule if isinstance(limit, SameAs) else None,
    )


def _pattern(program: Program, rule: Rule) -> str:
    """A regular expression for the source keys of a rule's credits."""
    if rule.on.activity == "order":
        return f"^{order_key('.+', rule.id)}$"
    return f"^{rule.id}{program.earning.rules.leader(rule.id).limit.key_pattern()}$"


RULE_CHECKS = (
    Check(
        "credits_have_rules",
        "Each credit has a rule of a published version, and its source key names a slot of that rule.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.program_version, c.rule_id, c.source_key
        FROM credits c
        LEFT JOIN ({RULES}) r USING (program_id, program_version, rule_id)
        WHERE c.points > 0 AND (
            r.rule_id IS NULL OR c.source_key !~ r.pattern
            OR CAST(substring(c.source_key FROM ':([0-9]{{1,9}})$') AS int) NOT BETWEEN 1 AND r.slots
        )
        """,  # noqa: S608
        parameters=rules_as_rows,
    ),
    Check(
        "limits_hold",
        "A rule has no more credits in a window than its limit allows.",
        f"""
        SELECT c.program_id, c.member_id, substring(c.source_key FROM '^(.*):') AS window_of_rule,
               count(*) AS credits, max(r.slots) AS slots
        FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
        WHERE r.slots IS NOT NULL AND c.points > 0
        GROUP BY 1, 2, 3 HAVING count(*) > max(r.slots)
        """,  # noqa: S608
        parameters=rules_as_rows,
    ),
    Check(
        "shared_slots",
        "A credit that shares another rule's slot comes with a credit of that rule.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.rule_id, c.source_key, r.source_rule_id
        FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
        WHERE r.source_rule_id IS NOT NULL AND c.points > 0 AND NOT EXISTS (
            SELECT FROM credits s
            WHERE s.program_id = c.program_id AND s.member_id = c.member_id
              AND s.source_key = r.source_rule_id || substr(c.source_key, length(c.rule_id) + 1)
        )
        """,  # noqa: S608
        parameters=rules_as_rows,
    ),
    Check(
        "streaks_are_consecutive",
        "A day of a streak is the first, or one more than the day before.",
        f"""
        SELECT program_id, member_id, source_key, days, day_before, days_before
        FROM ({_STREAK_DAYS}) s
        WHERE days IS DISTINCT FROM 1
          AND NOT coalesce(day = day_before + 1 AND days = days_before + 1, false)
        """,  # noqa: S608
        parameters=rules_as_rows,
    ),
    Check(
        "streaks_continue",
        "A streak does not begin again on the day after one of its days.",
        f"""
        SELECT program_id, member_id, source_key, days, day_before, days_before
        FROM ({_STREAK_DAYS}) s
        WHERE days = 1 AND day = day_before + 1 AND zone = zone_before
        """,  # noqa: S608
        warning=True,
        parameters=rules_as_rows,
    ),
    Check(
        "promised_in_time",
        "No credit is pending for longer than the program promises.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.rule_id, c.points, c.activity_at, c.due_at, r.promise
        FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
        WHERE c.state = 'pending' AND c.activity_at + r.promise < CAST(:now AS timestamptz)
        """,  # noqa: S608
        warning=True,
        parameters=rules_as_rows,
    ),
)
