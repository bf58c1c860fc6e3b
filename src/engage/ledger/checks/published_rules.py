"""The rules of all published versions and campaigns, as rows that credits are joined with."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from engage.audit import Published
from engage.domain.calendar import WindowKind
from engage.domain.campaigns.composition import terms_name, with_rules
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.earning.definition import Rule
from engage.domain.earning.index import RuleIndex
from engage.domain.earning.limits import FirstOrders, PerWindow, SameAs
from engage.domain.keys import ADJUSTMENT_RULE, OPENING, OPENING_RULE, RESTORED_RULE, TRANSFER_RULE
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

# The rules of credits that definitions pay, such as quiz:spring: of documents, and of operators.
_OF_CAMPAIGNS = " UNION ".join(
    f"""SELECT v.program_id, '{kind.name}:' || (d ->> 'id') FROM campaign_versions v
    CROSS JOIN LATERAL jsonb_array_elements(v.document -> '{kind.plural}') d WHERE v.approved"""  # noqa: S608
    for kind in KINDS  # Names of our own.
)
DEFINITIONS = f"""
SELECT DISTINCT * FROM unnest(
    CAST(:paying_programs AS text[]), CAST(:paying_rules AS text[])
) AS d (program_id, rule_id)
UNION
SELECT program_id, kind || ':' || id FROM definitions
UNION
{_OF_CAMPAIGNS}
"""  # noqa: S608


def definitions_as_rows(published: Published) -> dict[str, list[Any]]:
    """The rules of all that documents pay, as the columns of `DEFINITIONS`."""
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
RESERVED = {
    ADJUSTMENT_RULE: ADJUSTMENT_RULE,
    OPENING_RULE: OPENING,
    TRANSFER_RULE: TRANSFER_RULE,
    RESTORED_RULE: RESTORED_RULE,
}


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
