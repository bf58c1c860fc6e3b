"""Events about orders: each is one more fact, and the points follow from all facts.

A batch is one transaction: the facts, the ledger's changes that follow from them, and the events' ids. So
repeated events, and events in the wrong order, lead to the same points.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from engage.domain.earning.order_facts import OrderFacts, OrderPayment, Return
from engage.domain.keys import OrderKey
from engage.domain.refusals import Code, Refusal
from engage.flows.shop.events import (
    MemberEvent,
    OrderCancelledEvent,
    OrderDeliveredEvent,
    OrderPaid,
    OrderPaidEvent,
    OrderReference,
    OrderReturned,
    OrderReturnedEvent,
)
from engage.flows.shop.order_changes import OrderUpdate
from engage.flows.shop.post_orders import post_differences
from engage.ledger.holds import Hold, read_holds
from engage.runtime.batch import decide_each, not_refused
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.shop.events import add_events
from engage.store.shop.orders import lock_orders, open_orders, write_orders


async def take_order_events(
    services: Services, events: list[MemberEvent], *, now: datetime
) -> tuple[list[MemberEvent | Refusal], int]:
    """Adds the events to the facts of their orders, and posts what follows, in one transaction.

    Returns each event or its refusal, and how many events were recorded: an event that another call records
    at the same time is done, and not counted. Raises Unavailable, and nothing is done then.
    """
    if not events:
        return [], 0
    async with open_posting(services, cause="returned") as posting:
        conn = posting.conn
        before = await open_orders(conn, [_key(event) for event in events])
        hold_ids = [hold_id for event in events if (hold_id := _hold_id(event)) is not None]
        holds = await read_holds(conn, hold_ids) if hold_ids else {}
        after = dict(before)

        def add(event: MemberEvent) -> MemberEvent:
            key = _key(event)
            after[key] = _with_event(services, after[key], event, holds, now=now)
            return event

        answers = decide_each(events, add)
        changed = {key: facts for key, facts in after.items() if facts != before[key]}
        if changed:
            await write_orders(conn, changed)
            updates = [OrderUpdate(key, before[key], facts) for key, facts in changed.items()]
            await post_differences(services, posting, updates, now=now)
        recorded = await add_events(conn, [event.row for event in not_refused(answers)], now=now)
    return answers, recorded


async def follow_captures(services: Services, keys: Iterable[OrderKey]) -> None:
    """Gives back points that were captured for orders of which something had already been returned.

    To be called after the commit of a capture; repeating it is safe. Raises Unavailable.
    """
    async with open_posting(services, cause="returned") as posting:
        found = await lock_orders(posting.conn, keys)
        updates = [
            OrderUpdate(key, facts, facts, again=True)
            for key, facts in found.items()
            if facts.returns or facts.cancelled_at is not None
        ]
        if updates:
            await post_differences(services, posting, updates, now=services.clock.now())


def _key(event: MemberEvent) -> OrderKey:
    data = event.event.data
    assert isinstance(data, OrderReference)
    return *event.member.key, data.order_id


def _hold_id(event: MemberEvent) -> UUID | None:
    return event.event.data.hold_id if isinstance(event.event, OrderPaidEvent) else None


def _with_event(
    services: Services, facts: OrderFacts, event: MemberEvent, holds: Mapping[UUID, Hold], *, now: datetime
) -> OrderFacts:
    """Raises Refusal, as `_paid` and `OrderFacts` do."""
    match event.event:
        case OrderPaidEvent(data=data, time=at):
            return _paid(services, facts, event, data, at=at, holds=holds, now=now)
        case OrderDeliveredEvent(time=at):
            return facts.deliver(at)
        case OrderCancelledEvent(time=at):
            return facts.cancel(at)
        case OrderReturnedEvent(data=OrderReturned(return_id=return_id, lines=lines)):
            return facts.add_return(Return(return_id, lines))
        case _:
            raise AssertionError(f"{event.event.id} is not about an order")


def _paid(
    services: Services,
    facts: OrderFacts,
    event: MemberEvent,
    data: OrderPaid,
    *,
    at: datetime,
    holds: Mapping[UUID, Hold],
    now: datetime,
) -> OrderFacts:
    """Raises Refusal order_conflict, not_offered, wrong_currency or unknown_hold."""
    if facts.has_payment(data.order(), data.hold_id):
        return facts
    member = event.member
    program, market = services.programs.in_force(member.program_id, at=at, country=member.country)
    if data.currency != market.currency:
        raise Refusal(Code.WRONG_CURRENCY, currency=market.currency)
    discount = 0 if data.hold_id is None else _discount(_key(event), holds.get(data.hold_id), now=now)
    order = data.order(discount=discount)
    return facts.add_payment(OrderPayment(order, at, data.hold_id, program.version, market.zone))


def _discount(key: OrderKey, hold: Hold | None, *, now: datetime) -> int:
    """Minor units that a hold pays of its order: nothing if it was released or has expired.

    Raises Refusal unknown_hold if there is no such hold of this member for this order.
    """
    if hold is None or (*hold.key, hold.order_id) != key:
        raise Refusal(Code.UNKNOWN_HOLD)
    return hold.discount_minor if hold.state == "captured" or _is_open(hold, now) else 0


def _is_open(hold: Hold, now: datetime) -> bool:
    return hold.state == "open" and (hold.expires_at is None or hold.expires_at > now)
