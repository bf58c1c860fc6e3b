"""The decision: what an activity earns, when it becomes active, when it ends, and why.

Pure. The same activity, granted the same slots, decided again under the same version gives the same credits.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct

from engage.domain import calendar
from engage.domain.accounts.expiry import expires_at
from engage.domain.activity import AnyActivity
from engage.domain.earning.rules import (
    After,
    Brackets,
    Due,
    EveryNthDay,
    Fixed,
    NextDay,
    OnDelivery,
    PerSpend,
    Rule,
    SameAs,
    TagPoints,
)
from engage.domain.earning.slots import Grant, OnceSlot, Slot, StreakSlot, WindowSlot
from engage.domain.earning.terms import EarningTerms
from engage.domain.refusals import Code, Refusal


class Why(Struct, frozen=True, kw_only=True):
    """Everything the decision was made of, kept with the credit."""

    program: str
    version: str
    rule: str
    activity: AnyActivity
    at: datetime
    zone: str
    inputs: dict[str, Any]
    trace: list[str]


class NewCredit(Struct, frozen=True, kw_only=True):
    """A credit to be. The source key is unique for a member, for ever; its reference for member and rule.

    `due_at` is None where it is not known yet; then nobody knows either when the points end.
    """

    rule_id: str
    points: int
    source_key: str
    reference: str | None
    activity_at: datetime
    due_at: datetime | None
    expires_at: datetime | None
    why: Why


def decide(
    terms: EarningTerms, activity: AnyActivity, *, at: datetime, zone: str, grants: list[Grant]
) -> list[NewCredit]:
    """The credits of an activity whose slots were granted, at least one.

    `zone` is the member's; a streak's own zone comes with its grant.
    """
    by_rule = {grant.slot.rule_id: grant for grant in grants}
    trace: list[str] = []
    credits: list[tuple[Rule, Grant, int]] = []
    for rule in terms.rules.matching(activity):
        source = rule.limit.rule if isinstance(rule.limit, SameAs) else rule.id
        grant = by_rule.get(source)
        if grant is None:
            trace.append(f"{rule.id}: no place left")
            continue
        points, because = points_due(rule, grant)
        trace.append(f"{rule.id}: {because}")
        if points:
            credits.append((rule, grant, points))
    return [
        credit_of(
            terms,
            rule,
            points,
            activity,
            source_key=_source_key(rule, grant),
            inputs=_inputs(grant),
            at=at,
            zone=zone,
            trace=trace,
        )
        for rule, grant, points in credits
    ]


def points_due(rule: Rule, grant: Grant) -> tuple[int, str]:
    """(points, why). Zero where the rule pays nothing this time."""
    match rule.award:
        case Fixed(points=points):
            return points, f"{_place(grant)} pays {points}"
        case EveryNthDay(points=points, days=days):
            if grant.number % days == 0:
                return points, f"day {grant.number} in a row, every {days} days pay {points}"
            bonus_day = -(-grant.number // days) * days
            return 0, f"day {grant.number} in a row, the next bonus is on day {bonus_day}"
        case PerSpend() | TagPoints() | Brackets():
            raise AssertionError("what orders earn is decided by engage.domain.earning.orders")


def due_at(due: Due, at: datetime, zone: str) -> datetime | None:
    """When a credit for an activity at `at` becomes active; None where that is not known yet."""
    match due:
        case After(delay=delay):
            return at + delay
        case NextDay():
            return calendar.next_day(at, zone)
        case OnDelivery():
            return None


def credit_of(
    terms: EarningTerms,
    rule: Rule,
    points: int,
    activity: AnyActivity,
    *,
    source_key: str,
    inputs: dict[str, Any],
    at: datetime,
    zone: str,
    trace: list[str],
) -> NewCredit:
    """What a rule grants for an activity at `at`, due and ending as the program says, with why."""
    due = due_at(rule.due, at, zone)
    return NewCredit(
        rule_id=rule.id,
        points=points,
        source_key=source_key,
        reference=activity.reference,
        activity_at=at,
        due_at=due,
        expires_at=None if due is None else expires_at(terms.expiry, due, zone),
        why=Why(
            program=terms.program,
            version=terms.version,
            rule=rule.id,
            activity=activity,
            at=at,
            zone=zone,
            inputs=inputs,
            trace=trace,
        ),
    )


def _source_key(rule: Rule, grant: Grant) -> str:
    """That of the slot; a rule that shares another one's slot has its own name in it."""
    key = grant.slot.source_key(grant.number)
    return rule.id + key.removeprefix(grant.slot.rule_id) if isinstance(rule.limit, SameAs) else key


def _inputs(grant: Grant) -> dict[str, Any]:
    match grant.slot:
        case StreakSlot(day=day, zone=zone):
            return {"day": day.isoformat(), "zone": zone, "streak_days": grant.number}
        case WindowSlot(window=window, count=count):
            return {"window": window.label, "slot": grant.number, "of": count}
        case OnceSlot(key=key):
            return {} if key is None else {"key": key}


def _place(grant: Grant) -> str:
    match grant.slot:
        case StreakSlot():
            return f"day {grant.number} in a row"
        case WindowSlot(window=window, count=count):
            return f"{grant.number} of {count} in {window.label}"
        case OnceSlot(key=key):
            return "once" if key is None else f"once for {key}"


def refused(terms: EarningTerms, slot: Slot) -> Refusal:
    """The refusal for a slot that is not to be had. It says what the caller can do next."""
    why = {"rule": slot.rule_id, "version": terms.version}
    match slot:
        case StreakSlot(day=day, zone=zone):
            next_tap_at = calendar.window("day", calendar.start_of_day(day, zone), zone).end
            return Refusal(Code.ALREADY_TAPPED, next_tap_at=next_tap_at, **why)
        case WindowSlot(window=window, count=count):
            return Refusal(Code.LIMIT_REACHED, limit=count, resets_at=window.end, **why)
        case OnceSlot():
            return Refusal(Code.ALREADY_REWARDED, **why)
