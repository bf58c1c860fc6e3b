"""The result of a backtest, as it is kept and shown."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from fractions import Fraction
from math import floor
from typing import Final

from msgspec import Struct

from engage.domain.accounts.liability import PointRate
from engage.domain.backtests.budget import Cut
from engage.domain.backtests.sums import Days, DaySum, Tally, names_of
from engage.domain.backtests.trial import Times
from engage.domain.money import Money

_HALF: Final = Fraction(1, 2)


class BacktestDay(Struct, frozen=True, kw_only=True):
    """A day in the zone of the program's main country."""

    day: date
    activities: int
    granted_points: int
    would_points: int
    difference_points: int


class AffectedMember(Struct, frozen=True, kw_only=True):
    """A member whose points differ most."""

    member_id: str
    granted_points: int
    would_points: int
    difference_points: int


class DoubleDipping(Struct, frozen=True, kw_only=True):
    """Two campaigns that boost the same credits: how many, of how many members, and what both add there."""

    campaigns: Sequence[str]
    activities: int
    members: int
    points: int


class BacktestResult(Struct, frozen=True, kw_only=True):
    """The activities of a window with the draft, compared with what was granted for them.

    `granted_points` are all points of these activities, by whatever rule, level or campaign, before anything
    was taken back; `would_points` the same with the draft. `cost` is the worth of the difference in the
    currency of the program's main country, which is the first one that it had, `costs` that in each currency.
    They are null and empty where points have no worth. `gaining`, `losing` and `unchanged` are members.
    `tried`: at the times of its `document`, or in all of the `window`. `budget_hit_at` is when the credit was
    accepted with which the draft's budget is used up. `grantable_points` are what members would have gained,
    less what was taken back since.
    """

    activities: int
    granted_points: int
    would_points: int
    difference_points: int
    cost: Money | None
    costs: Sequence[Money]
    by_day: Sequence[BacktestDay]
    gaining: int
    losing: int
    unchanged: int
    most_affected: Sequence[AffectedMember]
    budget_hit_at: datetime | None
    double_dipping: Sequence[DoubleDipping]
    grantable_points: int
    tried: Times


def result_of(
    tally: Tally, days: Days, rates: Callable[[str], PointRate], *, main: str, cut: Cut | None, tried: Times
) -> BacktestResult:
    """The result of all members. `rates` are those of countries, of which `main` is the program's."""
    total = DaySum()
    for day in tally.days.values():
        total.add(day)
    costs = _costs(tally, rates)
    currency = rates(main)
    cost = None if currency.minor is None else costs.get(currency.currency, Money(0, currency.currency))
    return BacktestResult(
        activities=total.activities,
        granted_points=total.granted,
        would_points=total.granted + total.difference,
        difference_points=total.difference,
        cost=cost,
        costs=[costs[each] for each in sorted(costs)],
        by_day=[_day(days.day(number), tally.days[number]) for number in sorted(tally.days)],
        gaining=tally.gaining,
        losing=tally.losing,
        unchanged=tally.unchanged,
        most_affected=[
            AffectedMember(
                member_id=each.member_id,
                granted_points=each.granted,
                would_points=each.would,
                difference_points=each.would - each.granted,
            )
            for each in tally.most
        ],
        budget_hit_at=None if cut is None else cut.hit_at,
        double_dipping=[
            DoubleDipping(
                campaigns=names_of(pair),
                activities=each.activities,
                members=each.members,
                points=each.points,
            )
            for pair, each in sorted(tally.pairs.items(), key=lambda item: (-item[1].points, item[0]))
        ],
        grantable_points=tally.gains,
        tried=tried,
    )


def _day(day: date, total: DaySum) -> BacktestDay:
    return BacktestDay(
        day=day,
        activities=total.activities,
        granted_points=total.granted,
        would_points=total.granted + total.difference,
        difference_points=total.difference,
    )


def _costs(tally: Tally, rates: Callable[[str], PointRate]) -> dict[str, Money]:
    """The worth of the differences by currency, each rounded once, halves upwards."""
    exact: dict[str, Fraction] = {}
    for country, points in tally.by_country.items():
        rate = rates(country)
        if rate.minor is not None:
            exact[rate.currency] = exact.get(rate.currency, Fraction(0)) + points * rate.minor
    return {currency: Money(floor(amount + _HALF), currency) for currency, amount in exact.items()}
