"""`orders`: the shop's events about orders in batches, against the same events sent one by one."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import text

from engage.bench.figures import Figure, median, spread
from engage.bench.setup import members as crowd
from engage.bench.setup.constants import COUNTRY, PROGRAM, member_id
from engage.bench.setup.environment import Ground
from engage.domain.activity import Line, Payment
from engage.domain.earning.order_facts import ReturnedLine
from engage.domain.program.program import Program
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import (
    AnyEvent,
    OrderDeliveredEvent,
    OrderPaid,
    OrderPaidEvent,
    OrderReference,
    OrderReturned,
    OrderReturnedEvent,
)
from engage.flows.shop.take_events import EVENTS_PER_CALL, take_events
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

Kind = Literal["paid", "delivered", "returned"]
KINDS: tuple[Kind, ...] = ("paid", "delivered", "returned")

# Three pieces, of which one comes back: 30 points are earned, 10 of them taken back.
LINES = [Line(line_id="1", product_id="band", quantity=3, paid=3000)]
BACK = [ReturnedLine(line_id="1", quantity=1)]
KEPT = 20

# Of those who ordered: other benchmarks may have used the same ground before.
_SUMS = text("""
WITH buyers AS (SELECT DISTINCT program_id, member_id FROM orders)
SELECT (SELECT count(*) FROM orders),
       (SELECT sum(active) FROM balances JOIN buyers USING (program_id, member_id)),
       (SELECT sum(pending) FROM balances JOIN buyers USING (program_id, member_id)),
       (SELECT sum(remaining) FROM lots JOIN buyers USING (program_id, member_id))
""")


async def run(ground: Ground) -> list[Figure]:
    """Each event is of a member of its own: paid, delivered, settled, and a third of it returned."""
    batches: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    singles: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    sizes, program = ground.sizes, preset(PROGRAM)
    async with open_services(ground.settings) as services:
        await services.programs.refresh(services.db)
        for turn in range(sizes.rounds):
            ground.say(f"orders: round {turn + 1} of {sizes.rounds}")
            await _round(services, program, f"single-{turn}-", sizes.singles, 1, singles)
            await _round(services, program, f"batch-{turn}-", sizes.orders, EVENTS_PER_CALL, batches)
        await _prove(services, orders=sizes.rounds * (sizes.singles + sizes.orders))
    return [_figure(kind, batches[kind], singles[kind]) for kind in KINDS]


async def _round(
    services: Services, program: Program, prefix: str, count: int, size: int, rates: dict[Kind, list[float]]
) -> None:
    """`count` orders in batches of `size`; the events a second of each kind are added to `rates`."""
    now = services.clock.now()
    await crowd.add_members(services.db, program, prefix, count, now=now)
    await crowd.tidy(services.db)
    members = [member_id(prefix, n) for n in range(count)]
    await services.members.find(services.db, [(program.id, member) for member in members])
    currency = program.countries[COUNTRY].currency
    for kind in KINDS:
        events = [_event(kind, program.id, member, now, currency) for member in members]
        rates[kind].append(await _sent(services, events, size))
        await settle_due(services, now=services.clock.now())
        await services.post_commit.drain()


async def _sent(services: Services, events: Sequence[AnyEvent], size: int) -> float:
    began = time.perf_counter()
    for first in range(0, len(events), size):
        batch = events[first : first + size]
        taken = await take_events(services, batch)
        assert taken.accepted == len(batch), taken
    return len(events) / (time.perf_counter() - began)


def _event(kind: Kind, program: str, member: str, at: datetime, currency: str) -> AnyEvent:
    event_id, order_id = f"{kind}-{member}", f"order-{member}"
    match kind:
        case "paid":
            told = OrderPaid(
                order_id=order_id,
                channel="web",
                payment=Payment(method="card"),
                lines=LINES,
                currency=currency,
            )
            return OrderPaidEvent(id=event_id, time=at, program=program, member_id=member, data=told)
        case "delivered":
            named = OrderReference(order_id=order_id)
            return OrderDeliveredEvent(id=event_id, time=at, program=program, member_id=member, data=named)
        case "returned":
            back = OrderReturned(order_id=order_id, return_id="r", lines=BACK)
            return OrderReturnedEvent(id=event_id, time=at, program=program, member_id=member, data=back)


def _figure(kind: Kind, batches: list[float], singles: list[float]) -> Figure:
    rate, single = median(batches), median(singles)
    remark = {
        "paid": "a pending credit each",
        "delivered": "a due time each",
        "returned": "a clawback each, of points that were active",
    }
    return Figure(
        benchmark="orders",
        what=f"order.{kind} a second, in batches of {EVENTS_PER_CALL:,}",
        value=rate,
        unit="events/s",
        over=f"one by one: {single:,.0f}/s",
        ratio=rate / single,
        note=f"{remark[kind]}; {spread(batches)}",
    )


async def _prove(services: Services, *, orders: int) -> None:
    """A benchmark that were fast and wrong would be worth nothing."""
    async with transaction(services.db) as conn:
        kept, active, pending, remaining = (await conn.execute(_SUMS)).one()
    assert kept == orders, f"{kept} orders of {orders}"
    assert active == remaining == orders * KEPT, f"{active} points are active, {remaining} in lots"
    assert pending == 0, f"{pending} points are pending"
