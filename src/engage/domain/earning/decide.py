"""The decision about an activity: what it earns, when that becomes active, when it ends, and why.

Pure. The same activity with the same slots, decided again under the same version, gives the same credits.
"""

from datetime import datetime

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import NewCredit, new_credit
from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import SameAs
from engage.domain.earning.slots import Grant
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.trace import TraceCode, TraceStep, step


def decide(
    terms: EarningTerms, activity: AnyActivity, *, at: datetime, zone: str, grants: list[Grant]
) -> list[NewCredit]:
    """The credits of an activity whose slots were granted, at least one.

    `zone` is the member's; a streak's own zone comes with its grant.
    """
    by_rule = {grant.slot.rule_id: grant for grant in grants}
    trace: list[TraceStep] = []
    earned: list[tuple[Rule, Grant, int]] = []
    for rule in terms.rules.matching(activity):
        leader = rule.limit.rule if isinstance(rule.limit, SameAs) else rule.id
        grant = by_rule.get(leader)
        if grant is None:
            trace.append(step(TraceCode.NO_SLOT, rule=rule.id))
            continue
        points, why = rule.award.for_slot(rule.id, grant.slot, grant.number)
        trace.append(why)
        if points:
            earned.append((rule, grant, points))
    return [
        new_credit(
            terms,
            rule,
            points,
            activity,
            source_key=_source_key(rule, grant),
            inputs=grant.slot.inputs(grant.number),
            at=at,
            zone=zone,
            trace=trace,
        )
        for rule, grant, points in earned
    ]


def _source_key(rule: Rule, grant: Grant) -> str:
    """The key of the slot. A rule that shares another's slot has its own id in it."""
    key = grant.slot.source_key(grant.number)
    return rule.id + key.removeprefix(grant.slot.rule_id)
