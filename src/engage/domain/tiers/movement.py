"""Movements: what adds to the value that a group of tiers counts, and what takes of it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from engage.domain.earning.order_facts import OrderFacts, Return
from engage.domain.earning.order_spend import kept_minor
from engage.domain.tiers.definition import Metric

CauseKind = Literal["order", "credit", "window_end"]


class Cause(Struct, frozen=True, omit_defaults=True):
    """Why a level changed: an order by its id, a credit by its id and rule, or the end of a window."""

    kind: CauseKind
    id: str | None = None
    rule: str | None = None


WINDOW_END: Final = Cause("window_end")


class Movement(Struct, frozen=True):
    """`delta` units of a metric at `at`. A loss counts in the window of what it takes, which was `earned_at`.

    Minor units of currency, points, or status.
    """

    at: datetime
    earned_at: datetime
    delta: int
    cause: Cause


Movements = Mapping[Metric, list[Movement]]


def in_order(movements: Iterable[Movement]) -> list[Movement]:
    """By time; of one time gains first, so that a level which was reached was reached."""
    return sorted(movements, key=lambda movement: (movement.at, movement.delta < 0))


def order_movements(order_id: str, facts: OrderFacts) -> Iterator[Movement]:
    """The amount of an order, without its shipping and without what points and coupons paid, and the parts of
    it that its returns take, each at its time.

    A return without a time, of an earlier release, counts from the payment on.
    """
    if facts.paid is None:
        return
    paid_at = facts.paid.at
    spent = kept_minor(OrderFacts(paid=facts.paid))
    if not spent:
        return
    cause = Cause("order", order_id)
    yield Movement(paid_at, paid_at, spent, cause)
    left = spent
    for at, facts_then in _later(facts, paid_at):
        kept = kept_minor(facts_then)
        if kept < left:
            yield Movement(at, paid_at, kept - left, cause)
            left = kept


def _later(facts: OrderFacts, paid_at: datetime) -> Iterator[tuple[datetime, OrderFacts]]:
    """The facts of a paid order after each return and the cancellation, in the order of their times."""
    known = OrderFacts(paid=facts.paid)
    returns: list[tuple[datetime, Return | None]] = [
        (max(paid_at, returned.at or paid_at), returned) for returned in facts.returns
    ]
    if facts.cancelled_at is not None:
        returns.append((max(paid_at, facts.cancelled_at), None))
    for at, returned in sorted(returns, key=lambda item: item[0]):
        known = (
            known.cancel(at)
            if returned is None
            else OrderFacts(
                paid=known.paid, cancelled_at=known.cancelled_at, returns=(*known.returns, returned)
            )
        )
        yield at, known
