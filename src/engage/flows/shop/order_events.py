"""What the shop tells of orders: each event is one more fact, and the points follow from all of them.

A batch is one transaction: the facts, what follows from them in the ledger, and the events' ids. So an event
that is told again, or that comes before one it should have come after, does what it would have done.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from engage.domain.earning.order_facts import Facts, Paid, Return
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
    RefusedEvent,
)
from engage.flows.shop.order_changes import OrderUpdate
from engage.flows.shop.post_orders import post_differences
from engage.ledger.holds import Hold, read_holds
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.shop.events import add_events
from engage.store.shop.orders import lock_orders, open_orders, write_orders


async def take_order_events(
    services: Services, known: list[MemberEvent], refused: list[RefusedEvent], *, now: datetime
) -> tuple[int, int]:
    """(how many are done, how many of these nobody else has done); the others are added to `refused`.

    Raises Unavailable: nothing was done then.
    """
    if not known:
        return 0, 0
    no: list[RefusedEvent] = []
    async with open_posting(services, cause="returned") as posting:
        conn = posting.conn
        before = await open_orders(conn, [_key(one) for one in known])
        hold_ids = [hold_id for one in known if (hold_id := _hold_id(one)) is not None]
        holds = await read_holds(conn, hold_ids) if hold_ids else {}
        after, done = dict(before), []
        for one in known:
            try:
                after[_key(one)] = _with(services, one, after[_key(one)], holds, now=now)
            except Refusal as refusal:
                no.append(RefusedEvent(one.event.id, refusal.code, refusal.facts))
            else:
                done.append(one)
        changed = {key: facts for key, facts in after.items() if facts != before[key]}
        if changed:
            await write_orders(conn, changed)
            updates = [OrderUpdate(key, before[key], facts) for key, facts in changed.items()]
            await post_differences(services, posting, updates, now=now)
        kept = await add_events(conn, [one.seen for one in done], now=now)
    refused += no
    return len(done), kept


async def follow_captures(services: Services, keys: Iterable[OrderKey]) -> None:
    """Points that have just been spent on orders of which something came back before: its share goes back to
    the member. Whoever captures holds asks for it, after the commit, and may ask again. Raises Unavailable.
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


def _key(one: MemberEvent) -> OrderKey:
    data = one.event.data
    assert isinstance(data, OrderReference)
    return one.member.program_id, one.member.member_id, data.order_id


def _hold_id(one: MemberEvent) -> UUID | None:
    return one.event.data.hold_id if isinstance(one.event, OrderPaidEvent) else None


def _with(
    services: Services, one: MemberEvent, facts: Facts, holds: Mapping[UUID, Hold], *, now: datetime
) -> Facts:
    """The facts with one more. Raises Refusal."""
    match one.event:
        case OrderPaidEvent(data=told, time=at):
            return _paid(services, one, facts, told, at=at, holds=holds, now=now)
        case OrderDeliveredEvent(time=at):
            return facts.deliver(at)
        case OrderCancelledEvent(time=at):
            return facts.cancel(at)
        case OrderReturnedEvent(data=OrderReturned(return_id=return_id, lines=lines)):
            return facts.give_back(Return(return_id, lines))
        case _:
            raise AssertionError(f"{one.event.id} is not about an order")


def _paid(
    services: Services,
    one: MemberEvent,
    facts: Facts,
    told: OrderPaid,
    *,
    at: datetime,
    holds: Mapping[UUID, Hold],
    now: datetime,
) -> Facts:
    """Raises Refusal order_conflict, not_offered, wrong_currency or unknown_hold."""
    if facts.knows(told.order(), told.hold_id):
        return facts
    member = one.member
    program, market = services.programs.in_force(member.program_id, at=at, country=member.country)
    if told.currency != market.currency:
        raise Refusal(Code.WRONG_CURRENCY, currency=market.currency)
    discount = 0 if told.hold_id is None else _discount(_key(one), holds.get(told.hold_id), now=now)
    order = told.order(discount=discount)
    return facts.pay(Paid(order, at, told.hold_id, program.version, market.zone))


def _discount(key: OrderKey, hold: Hold | None, *, now: datetime) -> int:
    """What a hold pays of its order, in minor units; nothing any more where it was let go or has timed out.

    Raises Refusal unknown_hold where it is none, or somebody else's, or for another order.
    """
    if hold is None or (*hold.key, hold.order_id) != key:
        raise Refusal(Code.UNKNOWN_HOLD)
    return hold.discount_minor if hold.state == "captured" or _is_open(hold, now) else 0


def _is_open(hold: Hold, now: datetime) -> bool:
    return hold.state == "open" and (hold.expires_at is None or hold.expires_at > now)
