"""Events about orders: each is one more fact, and the points follow from all facts.

A batch is one transaction: the facts, the ledger's changes that follow from them, and the events' ids. So
repeated events, and events in the wrong order, lead to the same points.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.balance import MOST_POINTS
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.limits import FirstOrders
from engage.domain.earning.order_facts import SKEW, OrderFacts, OrderPayment
from engage.domain.earning.orders import decide_order
from engage.domain.keys import EventKey, OrderKey
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.flows.orders.boosts import with_boosts
from engage.flows.orders.order_changes import OrderUpdate
from engage.flows.orders.post_orders import post_differences
from engage.flows.shop.events import (
    MemberEvent,
    OrderCancelledEvent,
    OrderDeliveredEvent,
    OrderPaid,
    OrderPaidEvent,
    OrderReference,
    OrderReturnedEvent,
    Taken,
)
from engage.ledger.holds import Hold, read_holds
from engage.runtime.batch import decide_each, not_refused
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.members import Member, lock_open
from engage.store.shop.events import add_events
from engage.store.shop.orders import (
    add_orders,
    claim_orders,
    lock_orders,
    write_later_facts,
    write_orders,
)

_NO_FACTS: Final = OrderFacts()


class _Decided(Struct, frozen=True):
    """A payment, and the credits that the program's rules grant for it."""

    payment: OrderPayment
    credits: Sequence[NewCredit]


async def take_order_events(services: Services, events: Sequence[MemberEvent], *, now: datetime) -> Taken:
    """Adds the events to the facts of their orders, and posts what follows, in one transaction.

    Raises Unavailable, AccountClosed, IdsTaken or OrdersAdded, and nothing is done then.
    """
    async with open_posting(services, cause="returned") as posting:
        conn = posting.conn
        keys = [_key(event) for event in events]
        # A merger is waited for. The orders are read afterwards: they may be the survivor's then.
        await lock_open(conn, {key[:2] for key in keys})
        known = await lock_orders(conn, keys)
        before = {key: known.get(key) or _NO_FACTS for key in keys}
        payments = await _read_payments(services, conn, events, before, now=now)
        answers, after, decided = _with_events(events, keys, before, payments)
        earning = {
            key: member
            for key, member in _paid_in_turn(events, keys).items()
            if key in decided and _earns(after[key], member.joined_at)
        }
        after = await with_boosts(services, conn, before, after, earning, now=now)
        changed = {key: facts for key, facts in after.items() if facts != before[key]}
        await _write(conn, known, changed)
        # What is reported again adds no fact, but an order that the ledger disagrees with is put right.
        reported = {key for key, answer in zip(keys, answers, strict=True) if not isinstance(answer, Refusal)}
        updates = [
            OrderUpdate(
                key,
                before[key],
                after[key],
                again=key not in changed,
                earns=key in earning,
                decided=_still_decided(decided.get(key), after[key]),
            )
            for key in sorted(reported)
        ]
        if updates:
            await post_differences(services, posting, updates, now=now)
        recorded = await add_events(conn, [event.row for event in not_refused(answers)], now=now)
    return Taken(answers, recorded)


def _with_events(
    events: Sequence[MemberEvent],
    keys: Sequence[OrderKey],
    before: Mapping[OrderKey, OrderFacts],
    payments: Mapping[EventKey, _Decided | Refusal],
) -> tuple[list[MemberEvent | Refusal], dict[OrderKey, OrderFacts], dict[OrderKey, _Decided]]:
    """The answers to events, the facts of their orders, and the payments that are new among these."""
    after = dict(before)
    new: dict[OrderKey, _Decided] = {}

    def add(keyed: tuple[OrderKey, MemberEvent]) -> MemberEvent:
        key, event = keyed
        facts = after[key]
        after[key] = _with_event(facts, event, payments)
        if facts.paid is None and after[key].paid is not None:
            decided = payments[event.id]
            assert isinstance(decided, _Decided)
            new[key] = decided
        return event

    return decide_each(zip(keys, events, strict=True), add), after, new


def _still_decided(decided: _Decided | None, facts: OrderFacts) -> Sequence[NewCredit] | None:
    """The credits of a new payment, unless a campaign has changed its terms."""
    if decided is None or facts.paid is None or facts.paid.version != decided.payment.version:
        return None
    return decided.credits


async def _write(
    conn: AsyncConnection, known: Mapping[OrderKey, OrderFacts], changed: Mapping[OrderKey, OrderFacts]
) -> None:
    """Raises OrdersAdded."""
    paid = {key: facts for key, facts in changed.items() if key in known and facts.paid != known[key].paid}
    later = {key: facts for key, facts in changed.items() if key in known and key not in paid}
    new = {key: facts for key, facts in changed.items() if key not in known}
    if paid:
        await write_orders(conn, paid)
    if later:
        await write_later_facts(conn, later)
    if new:
        await add_orders(conn, new)


async def _read_payments(
    services: Services,
    conn: AsyncConnection,
    events: Sequence[MemberEvent],
    known: Mapping[OrderKey, OrderFacts],
    *,
    now: datetime,
) -> dict[EventKey, _Decided | Refusal]:
    """Each new payment among the events, or its Refusal; the orders belong to those who paid them from now
    on.
    """
    paying = [
        (event, event.event.data)
        for event in events
        if isinstance(event.event, OrderPaidEvent) and known[_key(event)].paid is None
    ]
    if not paying:
        return {}
    hold_ids = [data.hold_id for _, data in paying if data.hold_id is not None]
    holds = await read_holds(conn, hold_ids) if hold_ids else {}
    payments = decide_each(paying, lambda paid: _payment(services, *paid, holds=holds, now=now))
    paid_by = {
        event.id: _key(event)
        for (event, _), payment in zip(paying, payments, strict=True)
        if not isinstance(payment, Refusal)
    }
    owners = await claim_orders(conn, paid_by.values()) if paid_by else {}
    return {
        event.id: payment
        if isinstance(payment, Refusal) or owners[event.program, data.order_id] == event.member.member_id
        else Refusal(Code.ORDER_CONFLICT, order_id=data.order_id)
        for (event, data), payment in zip(paying, payments, strict=True)
    }


def _paid_in_turn(events: Sequence[MemberEvent], keys: Sequence[OrderKey]) -> dict[OrderKey, Member]:
    return {
        key: event.member
        for key, event in zip(keys, events, strict=True)
        if isinstance(event.event, OrderPaidEvent)
    }


def _key(event: MemberEvent) -> OrderKey:
    data = event.event.data
    assert isinstance(data, OrderReference)
    return *event.member.key, data.order_id


def _with_event(
    facts: OrderFacts, event: MemberEvent, payments: Mapping[EventKey, _Decided | Refusal]
) -> OrderFacts:
    """Raises Refusal, as `_payment` and `OrderFacts` do; order_conflict where another member paid the
    order.
    """
    match event.event:
        case OrderPaidEvent(data=data):
            if facts.has_payment(data.order(), data.hold_id):
                return facts
            decided = payments[event.id]
            if isinstance(decided, Refusal):
                raise decided
            return facts.add_payment(decided.payment)
        case OrderDeliveredEvent(time=at):
            return facts.deliver(at)
        case OrderCancelledEvent(time=at):
            return facts.cancel(at)
        case OrderReturnedEvent(data=data, time=at):
            return facts.add_return(data.fact(at))
        case _:
            raise AssertionError(f"{event.event.id} is not about an order")


def _payment(
    services: Services, event: MemberEvent, data: OrderPaid, *, holds: Mapping[UUID, Hold], now: datetime
) -> _Decided:
    """Raises Refusal not_offered, wrong_currency, unknown_hold or too_many_points."""
    member, at = event.member, event.event.time
    program, market = _deciding(services, member, at, now=now)
    if data.currency != market.currency:
        raise Refusal(Code.WRONG_CURRENCY, currency=market.currency)
    discount = 0 if data.hold_id is None else _discount(_key(event), holds.get(data.hold_id), now=now)
    order = data.order(discount=discount)
    credits = decide_order(program.earning, order, at=at, zone=market.zone)
    if any(credit.points > MOST_POINTS for credit in credits):
        raise Refusal(Code.TOO_MANY_POINTS, limit=MOST_POINTS)
    return _Decided(OrderPayment(order, at, data.hold_id, program.version, market.zone), credits)


def _deciding(services: Services, member: Member, at: datetime, *, now: datetime) -> tuple[Program, Market]:
    """The version in force at `at`, or that of today where all of its rules for orders go back to then.

    Raises Refusal not_offered.
    """
    try:
        return services.programs.in_force(member.program_id, at=at, country=member.country)
    except Refusal:
        program, market = services.programs.in_force(member.program_id, at=now, country=member.country)
        limits = [rule.limit for rule in program.rules if rule.on.activity == "order"]
        if limits and all(isinstance(one, FirstOrders) and one.covers(at, market.zone) for one in limits):
            return program, market
        raise


def _earns(facts: OrderFacts, joined_at: datetime) -> bool:
    """Return whether the order was paid as a member, as far as the shop's clock can say."""
    return facts.paid is None or facts.paid.at >= joined_at - SKEW


def _discount(key: OrderKey, hold: Hold | None, *, now: datetime) -> int:
    """Minor units that a hold pays of its order: nothing if it was released or has expired.

    Raises Refusal unknown_hold if there is no such hold of this member for this order.
    """
    if hold is None or (*hold.key, hold.order_id) != key:
        raise Refusal(Code.UNKNOWN_HOLD)
    return hold.discount_minor if hold.state == "captured" or _is_open(hold, now) else 0


def _is_open(hold: Hold, now: datetime) -> bool:
    return hold.state == "open" and (hold.expires_at is None or hold.expires_at > now)
