"""A program that pays a member's first two delivered orders, and the events of numbered orders."""

from collections.abc import Sequence
from datetime import timedelta

from engage.flows.scheduled.due_work import run_due_work
from engage.runtime.services import Services
from tests.support.clock import NOON
from tests.support.database import rows
from tests.support.orders import delivered, line, paid, send_events
from tests.support.programs import rule

FIRST_TWO = """
id = "corner-shop"
version = "1"
title = "The first two orders"
in_force_from = 2026-11-01
eligibility = { person_ref = "optional" }
expiry = { type = "never" }
countries.ES = { zone = "Europe/Madrid", currency = "EUR" }
""" + rule(
    "first_two",
    'activity = "order"',
    'type = "first_orders", count = 2, since = 2026-10-01',
    'type = "per_spend", points = 1, step_minor = 100',
    due='type = "on_delivery"',
)

HOUR = timedelta(hours=1)
PAID_AT, DELIVERED_AT = NOON - timedelta(days=2), NOON - timedelta(days=1)


async def work(services: Services) -> None:
    """Let reactions and settlement do all that they find."""
    while await run_due_work(services, now=services.clock.now()):
        pass
    await services.post_commit.drain()


async def pay(services: Services, numbers: Sequence[int], member_id: str = "m-1") -> None:
    """Order number n costs n × 10 euros."""
    events = [
        paid(services, line(paid=1000 * n), order_id=f"o-{n}", member_id=member_id, at=PAID_AT)
        for n in numbers
    ]
    assert await send_events(services, *events) == []


async def deliver(services: Services, *numbers: int, member_id: str = "m-1") -> None:
    """Order number n was delivered n hours after DELIVERED_AT. Each is reported alone."""
    for n in numbers:
        event = delivered(services, f"o-{n}", member_id=member_id, at=DELIVERED_AT + n * HOUR)
        assert await send_events(services, event) == []
        await work(services)


async def live(services: Services, member_id: str = "m-1") -> dict[str, int]:
    """The points that orders have left, by order."""
    found = await rows(
        services.db,
        "SELECT substr(reference, 7), points - taken_back FROM credits"
        " WHERE member_id = :m AND state <> 'reversed' ORDER BY 1",
        m=member_id,
    )
    return {str(order): int(str(points)) for order, points in found}
