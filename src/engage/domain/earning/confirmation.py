"""The due time of credits that wait for the shop's confirmation of their activity."""

from datetime import datetime, timedelta

from engage.domain.earning.credit import NewCredit, expires_at
from engage.domain.earning.due import OnConfirmation
from engage.domain.earning.terms import EarningTerms


def confirmed(
    terms: EarningTerms,
    rule_id: str,
    *,
    activity_at: datetime,
    lapses_at: datetime,
    confirmed_at: datetime,
    zone: str,
    hold: timedelta = timedelta(),
) -> tuple[datetime, datetime | None] | None:
    """(due time, end of the points) of a credit that its rule lets wait until `lapses_at`.

    None where the confirmation is of later than that. It may be older than the activity. `hold`: how much
    later the points are due than the rule says.
    """
    rule = terms.rules.by_id[rule_id]
    due = rule.due
    assert isinstance(due, OnConfirmation)
    if confirmed_at > lapses_at:
        return None
    due_at = max(activity_at, confirmed_at) + due.delay + hold
    return due_at, expires_at(terms, rule.unit, due_at, zone)


def hold_of(credit: NewCredit) -> timedelta:
    """The time by which a credit is due later than its rule says; what a boost adds waits with its base."""
    inputs = credit.why.inputs.get("base") or credit.why.inputs
    return timedelta(seconds=inputs.get("held", {}).get("hold_s", 0))
