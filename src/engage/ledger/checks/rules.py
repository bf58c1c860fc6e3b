"""Rules: each credit has a rule, and no rule pays more often than its limit allows."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from engage.audit import Check, Published
from engage.domain.calendar import WindowKind
from engage.domain.campaigns.composition import terms_name, with_rules
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.earning.definition import Rule
from engage.domain.earning.index import RuleIndex
from engage.domain.earning.limits import FirstOrders, PerWindow, SameAs
from engage.domain.earning.trace import TraceCode
from engage.domain.keys import ADJUSTMENT_RULE, OPENING, OPENING_RULE, TRANSFER_RULE
from engage.domain.program import sections
from engage.domain.program.kinds import KINDS
from engage.domain.program.program import Program

# A row for each rule of each published version, from `rules_as_rows`. `slot_type` says what the source keys
# are made of; `day_slots` and `month_slots` are how many credits the rule's limits allow in a window.
RULES = """
SELECT * FROM unnest(
    CAST(:rule_programs AS text[]), CAST(:rule_versions AS text[]), CAST(:rule_ids AS text[]),
    CAST(:rule_slot_types AS text[]), CAST(:rule_day_slots AS int[]), CAST(:rule_month_slots AS int[]),
    CAST(:rule_sources AS text[]), CAST(:rule_promises AS interval[])
) AS r (program_id, program_version, rule_id, slot_type, day_slots, month_slots, source_rule_id, promise)
"""

# An order that lost its place among the first, and has one again, is paid under this key and a number.
_ORDER_KEY = "('order:' || (c.why -> 'activity' ->> 'order_id') || ':' || c.rule_id)"

# The source key of a credit `c`, built anew of the parts that are stored with it. Null where an erasure has
# removed a part.
_BUILT_KEY = f"""CASE r.slot_type
    WHEN 'once' THEN c.rule_id
    WHEN 'once_per' THEN c.rule_id || ':' || (c.why -> 'inputs' ->> 'key')
    WHEN 'daily_streak' THEN c.rule_id || ':' || (c.why -> 'inputs' ->> 'day')
    WHEN 'day' THEN c.rule_id || ':' || to_char(c.of_day, 'YYYY-MM-DD') || ':' || c.day_slot
    WHEN 'month' THEN c.rule_id || ':' || to_char(c.of_month, 'YYYY-MM') || ':' || c.month_slot
    WHEN 'order' THEN c.reference || ':' || c.rule_id
    WHEN 'first_orders' THEN {_ORDER_KEY}
        || coalesce(substring(right(c.source_key, -length({_ORDER_KEY})) FROM '^:[0-9]+$'), '')
    WHEN 'transfer' THEN CASE WHEN right(c.source_key, 37) = ':' || c.id THEN c.source_key ELSE '' END
    ELSE CASE WHEN starts_with(c.source_key, r.slot_type || ':') THEN c.source_key ELSE '' END
END"""

_BASE_KEY = "left(c.source_key, length(c.source_key) - length(c.beside) - 1)"

_ERASED = f"c.why -> 'trace' -> 0 ->> 0 = '{TraceCode.ERASED}'"

# The days of streaks: how many in a row each counts, over how many days of the calendar, and the first of
# them.
_STREAK_DAYS = f"""
SELECT *, lag(day, greatest(days, 1) - 1) OVER of_streak AS first_day
FROM (
    SELECT c.program_id, c.member_id, c.rule_id, c.source_key, c.accepted_at,
           CAST(c.why -> 'inputs' ->> 'day' AS date) AS day,
           CAST(c.why -> 'inputs' ->> 'streak_days' AS int) AS days,
           CAST(c.why -> 'inputs' ->> 'streak_days' AS int)
               + coalesce(CAST(c.why -> 'inputs' ->> 'frozen' AS int), 0) AS span,
           c.why -> 'inputs' ->> 'zone' AS zone
    FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
    WHERE r.slot_type = 'daily_streak' AND r.source_rule_id IS NULL
      AND c.why -> 'inputs' ->> 'day' IS NOT NULL AND c.beside IS NULL
) d
WINDOW of_streak AS (PARTITION BY program_id, member_id, rule_id, zone ORDER BY day)
"""  # noqa: S608  # Made of constants of this module, as all queries here.


# The rules of credits that definitions pay, such as quiz:spring: of documents, and of operators.
_OF_CAMPAIGNS = " UNION ".join(
    f"""SELECT v.program_id, '{kind.name}:' || (d ->> 'id') FROM campaign_versions v
    CROSS JOIN LATERAL jsonb_array_elements(v.document -> '{kind.plural}') d WHERE v.approved"""  # noqa: S608
    for kind in KINDS  # Names of our own.
)
_DEFINITIONS = f"""
SELECT DISTINCT * FROM unnest(
    CAST(:paying_programs AS text[]), CAST(:paying_rules AS text[])
) AS d (program_id, rule_id)
UNION
SELECT program_id, kind || ':' || id FROM definitions
UNION
{_OF_CAMPAIGNS}
"""  # noqa: S608


def definitions_as_rows(published: Published) -> dict[str, list[Any]]:
    """The rules of all that documents pay, as the columns of `_DEFINITIONS`."""
    paying = [
        (program.id, rule) for program in published.programs for rule in sections.context_of(program).paying
    ]
    return {
        "paying_programs": [program_id for program_id, _ in paying],
        "paying_rules": [rule for _, rule in paying],
    }


def rules_as_rows(published: Published) -> dict[str, list[Any]]:
    """The rules of versions and campaigns as the columns of `RULES`: the keys, slots and promises of their
    credits.
    """
    programs = published.programs
    rows = [
        _row(program, program.earning.rules, rule, program.version)
        for program in programs
        for rule in program.rules
    ]
    rows += [
        row
        for each in published.campaigns
        for program in programs
        if program.id == each.campaign.program
        for row in _rows_beside(program, each)
    ]
    rows += [
        _Row(program, program.version, rule_id, slot_type)
        for program in programs
        for rule_id, slot_type in RESERVED.items()
    ]
    return {
        "rule_programs": [row.program.id for row in rows],
        "rule_versions": [row.version for row in rows],
        "rule_ids": [row.rule_id for row in rows],
        "rule_slot_types": [row.slot_type for row in rows],
        "rule_day_slots": [row.counts.get("day") for row in rows],
        "rule_month_slots": [row.counts.get("month") for row in rows],
        "rule_sources": [row.source for row in rows],
        "rule_promises": [row.program.promise for row in rows],
    }


# Rules that are in no program, and what the source keys of their credits begin with.
RESERVED = {ADJUSTMENT_RULE: ADJUSTMENT_RULE, OPENING_RULE: OPENING, TRANSFER_RULE: TRANSFER_RULE}


class _Row(Struct, frozen=True):
    program: Program
    version: str
    rule_id: str
    slot_type: str
    counts: dict[WindowKind, int] = {}
    source: str | None = None


def _row(program: Program, rules: RuleIndex, rule: Rule, version: str) -> _Row:
    limit = rules.leader(rule.id).limit
    windows = (rule.limit, *rule.also) if isinstance(rule.limit, PerWindow) else rule.also
    return _Row(
        program,
        version,
        rule.id,
        "order"
        if rule.on.activity == "order" and not isinstance(limit, FirstOrders)
        else limit.window
        if isinstance(limit, PerWindow)
        else limit.kind,
        {window.window: window.count for window in windows},
        rule.limit.rule if isinstance(rule.limit, SameAs) else None,
    )


def _rows_beside(program: Program, published: PublishedCampaign) -> Iterator[_Row]:
    """The rules of a campaign beside a version of its program. A version without the rule that one of them is
    same_as never was in force with it.
    """
    rules = with_rules(program.earning, [published]).rules
    for rule in published.campaign.rules:
        if not isinstance(rule.limit, SameAs) or rule.limit.rule in rules.by_id:
            yield _row(program, rules, rule, terms_name(program.version, [published]))


RULE_CHECKS = (
    Check(
        "credits_have_rules",
        "Each credit has a rule of a published version, whose slot its source key names, or a definition.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.program_version, c.rule_id, c.source_key
        FROM credits c
        LEFT JOIN ({RULES}) r USING (program_id, program_version, rule_id)
        WHERE c.points > 0 AND c.beside IS NULL AND position(':' IN c.rule_id) = 0 AND (
            r.rule_id IS NULL OR c.source_key <> {_BUILT_KEY} OR ({_BUILT_KEY} IS NULL AND NOT {_ERASED})
        )
        UNION ALL
        SELECT c.program_id, c.member_id, c.id, c.program_version, c.rule_id, c.source_key
        FROM credits c
        LEFT JOIN ({_DEFINITIONS}) d USING (program_id, rule_id)
        WHERE c.points > 0 AND position(':' IN c.rule_id) > 0
          AND (d.rule_id IS NULL OR NOT starts_with(c.source_key, split_part(c.rule_id, ':', 1) || ':'))
        """,  # noqa: S608
        parameters=lambda published: rules_as_rows(published) | definitions_as_rows(published),
    ),
    Check(
        "boosts_have_bases",
        "A credit that a boost added is of the rule and activity of another one, whose key begins its own.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.rule_id, c.source_key, c.boost, b.rule_id AS base_rule_id
        FROM credits c
        LEFT JOIN credits b
            ON b.program_id = c.program_id AND b.member_id = c.member_id AND b.source_key = {_BASE_KEY}
        WHERE c.beside IS NOT NULL AND c.points > 0
          AND (b.rule_id IS DISTINCT FROM c.rule_id OR b.beside IS NOT NULL
               OR right(c.source_key, length(c.beside) + 1) <> '+' || c.beside)
        """,  # noqa: S608
    ),
    Check(
        "boosts_go_with_bases",
        "A credit that a boost added is due and ends with its base, and is gone when the base is.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.source_key, c.state, b.state AS base_state, c.due_at,
               b.due_at AS base_due_at, c.expires_at, b.expires_at AS base_expires_at
        FROM credits c
        JOIN credits b
            ON b.program_id = c.program_id AND b.member_id = c.member_id AND b.source_key = {_BASE_KEY}
        WHERE c.beside IS NOT NULL AND c.state <> 'reversed' AND (
            b.state = 'reversed' OR (c.due_at, c.expires_at) IS DISTINCT FROM (b.due_at, b.expires_at)
        )
        """,  # noqa: S608
    ),
    Check(
        "limits_hold",
        "A rule has no more credits in a window than its limits allow, each in a place of its own.",
        f"""
        SELECT program_id, member_id, rule_id, first_day, kind, count(*) AS credits, max(slots) AS slots
        FROM (
            SELECT c.program_id, c.member_id, c.rule_id, 'day' AS kind, c.of_day AS first_day,
                   c.day_slot AS slot, r.day_slots AS slots
            FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
            WHERE c.of_day IS NOT NULL AND c.points > 0
            UNION ALL
            SELECT c.program_id, c.member_id, c.rule_id, 'month', c.of_month, c.month_slot, r.month_slots
            FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
            WHERE c.of_month IS NOT NULL AND c.points > 0
        ) w
        GROUP BY 1, 2, 3, 4, 5
        HAVING count(*) > max(slots) OR count(*) > count(DISTINCT slot)
            OR bool_or(slot NOT BETWEEN 1 AND slots)
        """,  # noqa: S608
        parameters=rules_as_rows,
    ),
    Check(
        "limits_are_counted",
        "A credit holds a place in each window that its rule limits, unless another account brought it.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.rule_id, c.of_day, c.of_month, r.day_slots, r.month_slots
        FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
        WHERE c.points > 0 AND r.source_rule_id IS NULL AND c.beside IS NULL AND NOT {_ERASED}
          AND ((r.day_slots IS NOT NULL AND c.of_day IS NULL)
               OR (r.month_slots IS NOT NULL AND c.of_month IS NULL))
          AND NOT EXISTS (
              SELECT FROM credits o
              WHERE o.program_id = c.program_id AND o.member_id <> c.member_id AND o.id = c.id
          )
        """,  # noqa: S608
        parameters=rules_as_rows,
    ),
    Check(
        "shared_slots",
        "A credit that shares another rule's slot comes with a credit of that rule.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.rule_id, c.source_key, r.source_rule_id
        FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
        WHERE r.source_rule_id IS NOT NULL AND c.points > 0 AND c.beside IS NULL AND NOT EXISTS (
            SELECT FROM credits s
            WHERE s.program_id = c.program_id AND s.member_id = c.member_id
              AND s.source_key = r.source_rule_id || substr(c.source_key, length(c.rule_id) + 1)
        )
        """,  # noqa: S608
        parameters=rules_as_rows,
    ),
    Check(
        "streaks_are_consecutive",
        "A day of a streak counts no more days than there are, and between them only frozen ones.",
        f"""
        SELECT program_id, member_id, source_key, days, span, day, first_day
        FROM ({_STREAK_DAYS}) s WHERE (days >= 1 AND first_day > day - span) IS NOT TRUE
        """,  # noqa: S608
        parameters=rules_as_rows,
    ),
    Check(
        "streaks_continue",
        "A day of a streak counts the days before it, except those that came at the same time or later.",
        f"""
        WITH s AS MATERIALIZED ({_STREAK_DAYS})
        SELECT s.program_id, s.member_id, s.source_key, s.days, s.accepted_at, b.accepted_at AS known_at
        FROM s JOIN s b ON b.program_id = s.program_id AND b.member_id = s.member_id AND b.rule_id = s.rule_id
            AND b.zone = s.zone AND b.day = s.day - s.span
        WHERE b.accepted_at < s.accepted_at - interval '1 minute'
        """,  # noqa: S608
        warning=True,
        parameters=rules_as_rows,
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
