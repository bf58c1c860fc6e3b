"""Checks of a new withdrawal against the terms, the balance and the day's limits."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from engage.domain.document.worth import Worth
from engage.domain.refusals import Code, Refusal
from engage.domain.withdrawals.definition import Method, WithdrawalTerms


class DayTotals(Struct, frozen=True):
    """Withdrawals of one day, without failed ones: a member's, or those to one number if they are more."""

    points: int
    count: int


def first_opening(versions: Iterable[tuple[datetime, WithdrawalTerms | None]]) -> datetime | None:
    """The earliest start of a version that opens withdrawals; None where no version does.

    `versions` are (start, terms) of the versions to come.
    """
    starts = [start for start, terms in versions if terms is not None and terms.open]
    return min(starts, default=None)


def check_offered(
    terms: WithdrawalTerms | None, method: Method, *, zone: str = "UTC", planned: datetime | None = None
) -> WithdrawalTerms:
    """Raises Refusal not_offered, or not_open_yet where withdrawals are announced.

    `planned` is the start of a version that opens them. It takes precedence over the announced `opens_at`.
    """
    if terms is None or method not in terms.methods:
        raise Refusal(Code.NOT_OFFERED)
    if not terms.open:
        raise Refusal(Code.NOT_OPEN_YET, opens_at=planned or terms.opens_at, zone=zone)
    return terms


def check_number_age(
    terms: WithdrawalTerms, *, known: bool, since: datetime | None, at: datetime, zone: str = "UTC"
) -> None:
    """Keep money from a phone number that is too new: account thieves name their own number first.

    A number that is not `known` is named now. `since` is when the member named a known one; None for the one
    with which they joined. Raises Refusal number_too_new.
    """
    named_at = since if known else at
    if named_at is not None and at < named_at + terms.number_cooldown:
        allowed_at = named_at + terms.number_cooldown
        raise Refusal(Code.NUMBER_TOO_NEW, allowed_at=allowed_at, zone=zone)


def check_balance(terms: WithdrawalTerms, points: int, *, active: int) -> None:
    """Raises Refusal below_minimum where the balance is too small for any withdrawal, insufficient_points
    where it is too small for this one.
    """
    if active < terms.min_points:
        raise Refusal(Code.BELOW_MINIMUM, minimum=terms.min_points, active=active)
    if active < points:
        raise Refusal(Code.INSUFFICIENT_POINTS, active=active, points=points)


def check_daily_limits(
    terms: WithdrawalTerms, points: int, today: DayTotals, *, resets_at: datetime, zone: str = "UTC"
) -> None:
    """Raises Refusal limit_reached for one withdrawal too many on a day, daily_points_reached for too many
    points.
    """
    most = terms.max_count_a_day
    if most is not None and today.count >= most:
        raise Refusal(Code.LIMIT_REACHED, limit=most, resets_at=resets_at, zone=zone)
    most = terms.max_points_a_day
    if most is not None and today.points + points > most:
        raise Refusal(
            Code.DAILY_POINTS_REACHED,
            limit=most,
            remaining=max(most - today.points, 0),
            resets_at=resets_at,
            zone=zone,
        )


def worth_minor(worth: Worth, points: int) -> int:
    """Convert points to minor units. Raises Refusal not_whole_money where a fraction would remain."""
    minor, rest = divmod(points * worth.minor, worth.points)
    if rest:
        raise Refusal(Code.NOT_WHOLE_MONEY, step=worth.points // worth.minor)
    return minor
