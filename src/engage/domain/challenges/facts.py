"""Facts that challenges count, as they are now: what was taken back is none any more."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.activity import Activity, Review, Share
from engage.domain.earning.order_facts import OrderFacts
from engage.domain.earning.order_spend import kept_minor, kept_products
from engage.domain.keys import order_reference

ORDER = "order"
CHALLENGE_STEP = "challenge_step"


class Fact(Struct, frozen=True, order=True):
    """Something that a member did at a time, in the zone that was theirs then.

    `key` identifies the activity: several credits may be of one. `activity` is empty where only the points
    count.
    """

    at: datetime
    key: str
    zone: str
    activity: str = ""
    products: tuple[str, ...] = ()
    spent_minor: int = 0
    points: int = 0


def credit_fact(
    *,
    at: datetime,
    zone: str,
    activity: str,
    reference: str | None,
    detail: str | None,
    points: int,
    product_id: str | None,
) -> Fact:
    """The fact of a credit that is not reversed. `points` are those that are left of it; `detail`
    distinguishes activities of one instant that have no reference, such as visits of two pages.

    An order is a fact of its own, so the credits of orders are points and nothing else.
    """
    key = reference or f"{activity}:{detail}:{at.isoformat()}"
    if activity == ORDER:
        return Fact(at, key, zone, points=points)
    products = () if product_id is None else (product_id,)
    return Fact(at, key, zone, activity, products, points=points)


def product_of(activity: Activity) -> str | None:
    return activity.product_id if isinstance(activity, Review | Share) else None


def order_facts(orders: Sequence[tuple[str, OrderFacts]]) -> list[Fact]:
    """A fact for each of these orders that is paid, unless all of it came back."""
    return [
        Fact(
            facts.paid.at,
            order_reference(order_id),
            facts.paid.zone,
            ORDER,
            tuple(sorted(kept_products(facts))),
            kept_minor(facts),
        )
        for order_id, facts in orders
        if facts.paid is not None and not facts.is_back
    ]
