"""The decision about an activity: what it earns, when that becomes active, when it ends, and why.

Pure. The same activity with the same slots, decided again under the same version, gives the same credits.
"""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import NewCredit, WindowPlace, new_credit
from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import SameAs, StreakSlot
from engage.domain.earning.slots import Grant
from engage.domain.earning.streak_record import run_inputs
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
            rule.id,
            points,
            activity,
            due=rule.due,
            unit=rule.unit,
            source_key=_source_key(rule, grant),
            windows=_windows(rule, grant),
            inputs=_inputs(rule, grant),
            at=at,
            zone=zone,
            trace=trace,
        )
        for rule, grant, points in earned
    ]


def _source_key(rule: Rule, grant: Grant) -> str:
    """The key of the slot. A rule that shares another's slot has its own id in it."""
    return replace(grant.slot, rule_id=rule.id).source_key(grant.number)


def _windows(rule: Rule, grant: Grant) -> tuple[WindowPlace, ...]:
    """The places that the credit takes. A rule that shares another's slot has no further limits."""
    own = grant if rule.id == grant.slot.rule_id else replace(grant, further=())
    return tuple(
        WindowPlace(place.slot.window.kind, place.slot.window.first_day, place.number)
        for place in own.windows
    )


def _inputs(rule: Rule, grant: Grant) -> dict[str, Any]:
    inputs = grant.slot.inputs(grant.number)
    if isinstance(grant.slot, StreakSlot) and grant.run is not None and rule.id == grant.slot.rule_id:
        inputs |= run_inputs(grant.run, grant.slot.day, grant.slot.at)
    if not grant.further or rule.id != grant.slot.rule_id:
        return inputs
    return inputs | {"also": [further.slot.inputs(further.number) for further in grant.further]}
