"""A credit as it was decided, with why."""

from datetime import date, datetime
from typing import Any

from msgspec import Struct

from engage.domain.activity import AnyActivity
from engage.domain.calendar import WindowKind
from engage.domain.earning.due import DueKind
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.trace import TraceStep
from engage.domain.earning.unit import POINTS, Unit


class Why(Struct, frozen=True, kw_only=True):
    """Everything the decision was made of, kept with the credit."""

    program: str
    version: str
    rule: str
    activity: AnyActivity
    at: datetime
    zone: str
    inputs: dict[str, Any]
    trace: list[TraceStep]


class WindowPlace(Struct, frozen=True):
    """A slot of a window that a credit holds. The database has it once for a member and a rule."""

    kind: WindowKind
    first_day: date
    number: int


class NewCredit(Struct, frozen=True, kw_only=True):
    """A credit before it is written. Its source key is unique for a member, for ever; its reference, for a
    member and a rule. `windows` are the slots that it takes, by the limits of its rule.

    A credit that a boost adds names it in `boost`; `beside` is the boost's key, by which the database tells
    it from the base credit of the same rule and reference. `campaign` is the campaign that pays it.

    `due_at` is None where it is not known yet; then neither is the end of the points. A credit that has none
    at `lapses_at` is lost.
    """

    rule_id: str
    points: int
    unit: Unit = POINTS
    campaign: str | None = None
    boost: str | None = None
    beside: str | None = None
    source_key: str
    windows: tuple[WindowPlace, ...] = ()
    reference: str | None
    activity_at: datetime
    due_at: datetime | None
    lapses_at: datetime | None = None
    expires_at: datetime | None
    why: Why


def new_credit(
    terms: EarningTerms,
    rule_id: str,
    points: int,
    activity: AnyActivity,
    *,
    due: DueKind,
    unit: Unit = POINTS,
    source_key: str,
    windows: tuple[WindowPlace, ...] = (),
    inputs: dict[str, Any],
    at: datetime,
    zone: str,
    trace: list[TraceStep],
) -> NewCredit:
    """The credit that a rule or a definition grants for an activity at `at`. It ends as the program says."""
    due_at = due.due_at(at, zone)
    return NewCredit(
        rule_id=rule_id,
        points=points,
        unit=unit,
        campaign=terms.campaigns.get(rule_id),
        source_key=source_key,
        windows=windows,
        reference=activity.reference,
        activity_at=at,
        due_at=due_at,
        lapses_at=due.lapses_at(at),
        expires_at=None if due_at is None else expires_at(terms, unit, due_at, zone),
        why=Why(
            program=terms.program,
            version=terms.decided_by.get(rule_id, terms.version),
            rule=rule_id,
            activity=activity,
            at=at,
            zone=zone,
            inputs=inputs,
            trace=trace,
        ),
    )


def expires_at(terms: EarningTerms, unit: Unit, due_at: datetime, zone: str) -> datetime | None:
    """The end of what becomes active at `due_at`. Status does not end: a window counts it."""
    return terms.expiry.expires_at(due_at, zone) if unit == POINTS else None
