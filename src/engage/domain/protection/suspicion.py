"""Suspicion of farming: the places that an activity takes, and the credits of one that finds none.

A velocity rule has so many places on a device or network in a window. A member, or an activity, takes one and
keeps it: the same one again needs no other. A credit of an activity without a place is due later, and changes
in nothing else.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from engage.domain import calendar
from engage.domain.earning.credit import NewCredit, expires_at
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.trace import TraceCode, step
from engage.domain.identity import Origin
from engage.domain.protection.definition import Protection, VelocityRule


class Place(Struct, frozen=True):
    """A place that an activity wants by a velocity rule. `activity` is empty where members are counted.

    It is of no use any more at `ends_at`, when the window is over.
    """

    rule: VelocityRule
    program_id: str
    source: bytes
    window: str
    ends_at: datetime
    member_id: str
    activity: str


class Suspicion(Struct, frozen=True):
    """An activity that found no place by `rules`. Its points are held by the one with the longest hold, in
    the group `id` of what is suspicious by that rule, on that source, in that window.
    """

    id: UUID
    rules: tuple[str, ...]
    hold: timedelta


def places(
    protection: Protection | None,
    origin: Origin | None,
    *,
    program_id: str,
    member_id: str,
    name: str,
    activity: str,
    at: datetime,
    zone: str,
) -> list[Place]:
    """The places that an activity wants. `name` is that of its kind; `activity` tells it from others of the
    member, and is the same when it is sent again.
    """
    if protection is None or origin is None:
        return []
    wanted = []
    for rule in protection.velocity:
        source = rule.source(origin)
        if not source or (rule.on and name not in rule.on):
            continue
        period = calendar.period(rule.per_window, at, zone)
        assert period.end is not None, "a day, a week and a month end"
        counted = "" if rule.counts == "members" else activity
        wanted.append(Place(rule, program_id, source, period.label, period.end, member_id, counted))
    return wanted


def strictest(without: Sequence[Place]) -> Place:
    """The place without which the points are held the longest; of several, the first in the document."""
    return max(without, key=lambda place: place.rule.hold)


def held(terms: EarningTerms, credit: NewCredit, suspicion: Suspicion) -> NewCredit:
    """The credit, due later. One that waits for the shop's word is due so much later after that."""
    why, due_at = credit.why, credit.due_at
    if due_at is not None:
        due_at += suspicion.hold
    until = None if due_at is None else calendar.local_date(due_at, why.zone).isoformat()
    facts = {"rules": list(suspicion.rules), "hold_s": int(suspicion.hold.total_seconds())}
    inputs: dict[str, Any] = why.inputs | {"held": facts}
    return replace(
        credit,
        due_at=due_at,
        expires_at=None if due_at is None else expires_at(terms, credit.unit, due_at, why.zone),
        why=replace(why, inputs=inputs, trace=[*why.trace, step(TraceCode.HELD, until=until)]),
    )
