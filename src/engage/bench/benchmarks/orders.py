"""`orders`: the shop's events about orders in batches, compared with the same events one by one."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import text

from engage.bench.figures import Figure, compare, spread
from engage.bench.setup.constants import COUNTRY, PRESET, member_id
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, vacuum
from engage.bench.setup.queries import fetch_row
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
from engage.runtime.garbage import collect_rarely
from engage.runtime.services import Services, open_services

Kind = Literal["paid", "delivered", "returned"]
Rates = dict[Kind, list[float]]
KINDS: tuple[Kind, ...] = ("paid", "delivered", "returned")
NOTES: dict[Kind, str] = {
    "paid": "a pending credit each",
    "delivered": "a due time each",
    "returned": "a clawback each, of points that were active",
}

# Of three pieces one is returned: 30 points are earned, and 10 of them taken back.
LINES = [Line(line_id="1", product_id="band", quantity=3, paid=3000)]
RETURNED_LINES = [ReturnedLine(line_id="1", quantity=1)]
POINTS_AFTER_RETURN = 20

# Of the buyers only: other benchmarks may have used the same environment.
_TOTALS = text("""
WITH buyers AS (SELECT DISTINCT program_id, member_id FROM orders)
SELECT (SELECT count(*) FROM orders),
       (SELECT sum(active) FROM balances JOIN buyers USING (program_id, member_id)),
       (SELECT sum(pending) FROM balances JOIN buyers USING (program_id, member_id)),
       (SELECT sum(remaining) FROM lots JOIN buyers USING (program_id, member_id))
""")


async def run(env: Environment) -> list[Figure]:
    """Pay, deliver, settle and partly return orders, each of a different member."""
    batches, singles, pairs = _no_rates(), _no_rates(), _no_rates()
    sizes, program = env.sizes, preset(PRESET)
    async with open_services(env.settings) as services:
        await services.programs.refresh(services.db)
        collect_rarely()  # As the API does.
        for number in env.rounds("orders"):
            await _measure_round(services, program, f"single-{number}-", sizes.singles, 1, singles)
            for callers, prefix, rates in ((1, "batch", batches), (2, "pair", pairs)):
                await _measure_round(
                    services, program, f"{prefix}-{number}-", sizes.orders, EVENTS_PER_CALL, rates, callers
                )
        await _verify(services, orders=sizes.rounds * (sizes.singles + 2 * sizes.orders))
    return [figure for kind in KINDS for figure in _figures(kind, batches, singles, pairs)]


def _no_rates() -> Rates:
    return {kind: [] for kind in KINDS}


def _figures(kind: Kind, batches: Rates, singles: Rates, pairs: Rates) -> list[Figure]:
    return [
        compare(
            "orders",
            f"order.{kind} a second, in batches of {EVENTS_PER_CALL:,}",
            "events/s",
            batches[kind],
            baseline="one by one",
            baseline_rates=singles[kind],
            note=f"{NOTES[kind]}; {spread(batches[kind])}",
        ),
        compare(
            "orders",
            "the same, two calls at once",
            "events/s",
            pairs[kind],
            baseline="one call after the other",
            baseline_rates=batches[kind],
            note=spread(pairs[kind]),
        ),
    ]


async def _measure_round(
    services: Services,
    program: Program,
    prefix: str,
    count: int,
    size: int,
    rates: Rates,
    callers: int = 1,
) -> None:
    """Send the events of `count` orders in batches of `size`, so many at once as there are `callers`. Add
    events a second of each kind to `rates`.
    """
    now = services.clock.now()
    await add_members(services.db, program, prefix, count, now=now)
    await vacuum(services.db)
    members = [member_id(prefix, n) for n in range(count)]
    await services.members.find(services.db, [(program.id, member) for member in members])
    currency = program.countries[COUNTRY].currency
    for kind in KINDS:
        events = [event_of(kind, program.id, member, now, currency) for member in members]
        rates[kind].append(await _send(services, events, size, callers))
        await settle_due(services, now=services.clock.now())
        await services.post_commit.drain()


async def _send(services: Services, events: Sequence[AnyEvent], size: int, callers: int) -> float:
    """Return events a second."""
    batches = iter([events[first : first + size] for first in range(0, len(events), size)])

    async def call() -> None:
        for batch in batches:
            result = await take_events(services, batch)
            assert result.accepted == len(batch), result

    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return len(events) / (time.perf_counter() - started)


def event_of(kind: Kind, program: str, member: str, at: datetime, currency: str) -> AnyEvent:
    """An event about the one order of a member."""
    event_id, order_id = f"{kind}-{member}", f"order-{member}"
    match kind:
        case "paid":
            paid = OrderPaid(
                order_id=order_id,
                channel="web",
                payment=Payment(method="card"),
                lines=LINES,
                currency=currency,
            )
            return OrderPaidEvent(id=event_id, time=at, program=program, member_id=member, data=paid)
        case "delivered":
            order = OrderReference(order_id=order_id)
            return OrderDeliveredEvent(id=event_id, time=at, program=program, member_id=member, data=order)
        case "returned":
            returned = OrderReturned(order_id=order_id, return_id="r", lines=RETURNED_LINES)
            return OrderReturnedEvent(id=event_id, time=at, program=program, member_id=member, data=returned)


async def _verify(services: Services, *, orders: int) -> None:
    """Check that orders, balances and lots agree: a fast but wrong run is worthless."""
    stored, active, pending, remaining = await fetch_row(services.db, _TOTALS)
    assert stored == orders, f"{stored} orders of {orders}"
    assert active == remaining == orders * POINTS_AFTER_RETURN, (
        f"{active} points are in balances, {remaining} in lots"
    )
    assert pending == 0, f"{pending} points are pending"
