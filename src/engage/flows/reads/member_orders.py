"""A member's orders, each with what it has earned."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from engage.domain.earning.order_facts import OrderFacts
from engage.domain.earning.order_spend import kept_minor
from engage.domain.keys import order_reference
from engage.domain.money import Money
from engage.ledger.credits import Credit, read_by_reference
from engage.runtime.database import snapshot
from engage.runtime.services import Services
from engage.store.shop.orders import list_orders

OrderState = Literal["announced", "paid", "delivered", "cancelled", "returned"]


class OrderItem(Struct, frozen=True, kw_only=True):
    """An order at the time of its first event, and the credits for it. `paid` is what was paid for its lines
    and its shipping, `kept` what is left of the lines after returns; null before its payment is known.
    """

    order_id: str
    at: datetime
    state: OrderState
    channel: str | None
    products: Sequence[str]
    paid: Money | None
    kept: Money | None
    credits: Sequence[Credit]

    @property
    def points(self) -> int:
        """The points that the order has earned and not lost, pending ones included."""
        return sum(
            credit.points for credit in self.credits if credit.state in ("pending", "active", "expired")
        )


async def read_orders(
    services: Services, program_id: str, member_id: str, *, before: tuple[datetime, str] | None, limit: int
) -> list[OrderItem]:
    """Read up to `limit` orders before (time, id), newest first.

    Raises Refusal unknown_member; Unavailable.
    """
    key = (await services.members.get(services.db, program_id, member_id)).key
    async with snapshot(services.db) as conn:
        orders = await list_orders(conn, key, before=before, limit=limit)
        references = [(*key, order_reference(order_id)) for _, order_id, _ in orders]
        earned = await read_by_reference(conn, references)
    return [
        _item(at, order_id, facts, [found.credit for found in earned.get(reference, ())])
        for (at, order_id, facts), reference in zip(orders, references, strict=True)
    ]


def _item(at: datetime, order_id: str, facts: OrderFacts, credits: Sequence[Credit]) -> OrderItem:
    order = None if facts.paid is None else facts.paid.order
    return OrderItem(
        order_id=order_id,
        at=at,
        state=_state(facts),
        channel=None if order is None else order.channel,
        products=[] if order is None else [line.product_id for line in order.lines],
        paid=None
        if order is None
        else Money(sum(line.paid for line in order.lines) + order.shipping, order.currency),
        kept=None if order is None else Money(kept_minor(facts), order.currency),
        credits=[credit for credit in credits if credit.unit == "points"],
    )


def _state(facts: OrderFacts) -> OrderState:
    if facts.cancelled_at is not None:
        return "cancelled"
    if facts.is_back:
        return "returned"
    if facts.delivered_at is not None and facts.paid is not None:
        return "delivered"
    return "announced" if facts.paid is None else "paid"
