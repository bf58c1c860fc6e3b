"""Rules for the first delivered orders: the first by all that is known, however the shop reports them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from engage.flows.members.merge import merge_members
from engage.flows.operations.audit import audit
from engage.flows.reads.tasks import read_tasks
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.clock import advance
from tests.support.database import rows
from tests.support.first_orders import DELIVERED_AT, FIRST_TWO, HOUR, deliver, live, pay, work
from tests.support.orders import (
    PROGRAM,
    balance,
    cancelled,
    delivered,
    join,
    paid,
    returned,
    send_events,
    spend,
)
from tests.support.programs import services_with


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, FIRST_TWO) as opened:
        await join(opened)
        yield opened


async def test_an_order_is_paid_when_it_is_delivered_if_it_is_one_of_the_first(services: Services) -> None:
    await pay(services, [1, 2, 3])
    await work(services)
    assert await live(services) == {}
    await deliver(services, 2)
    assert await balance(services) == {"active": 20}
    await deliver(services, 3, 1)
    assert await live(services) == {"o-1": 10, "o-2": 20}


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (3, 1, 4, 2)])
async def test_the_first_are_those_delivered_first_in_whatever_order_that_is_reported(
    services: Services, settings: Settings, order: tuple[int, ...]
) -> None:
    await pay(services, [1, 2, 3, 4])
    await deliver(services, *order)
    assert await live(services) == {"o-1": 10, "o-2": 20}
    assert await balance(services) == {"active": 30}
    assert (await audit(settings)).broken == []


async def test_a_payment_that_is_reported_late_counts_too(services: Services) -> None:
    await pay(services, [2, 3])
    await deliver(services, 1, 2, 3)
    assert await live(services) == {"o-2": 20, "o-3": 30}
    await pay(services, [1])
    await work(services)
    assert await live(services) == {"o-1": 10, "o-2": 20}


async def test_what_was_spent_of_an_order_that_is_displaced_is_owed(services: Services) -> None:
    await pay(services, [1, 2, 3])
    await deliver(services, 2, 3)
    await spend(services, 50, "elsewhere")
    await deliver(services, 1)
    assert await balance(services) == {"debt": 20}, "30 are gone, and 10 came"


async def test_a_cancelled_order_takes_no_place_and_the_next_one_moves_up(services: Services) -> None:
    await pay(services, [1, 2, 3])
    assert await send_events(services, cancelled(services, "o-1")) == []
    await deliver(services, 1, 2, 3)
    assert await live(services) == {"o-2": 20, "o-3": 30}
    await pay(services, [4])
    await deliver(services, 4)
    assert await send_events(services, cancelled(services, "o-2")) == []
    await work(services)
    assert await live(services) == {"o-3": 30, "o-4": 40}


async def test_a_returned_order_keeps_its_place(services: Services) -> None:
    await pay(services, [1, 2, 3])
    await deliver(services, 1)
    assert await send_events(services, returned(services, order_id="o-1")) == []
    await deliver(services, 2, 3)
    assert await live(services) == {"o-2": 20}
    assert await balance(services) == {"active": 20}


async def test_twenty_deliveries_at_once_over_two_processes_pay_two(
    services: Services, settings: Settings
) -> None:
    await pay(services, range(1, 21))
    async with services_with(settings, clock=services.clock) as other:
        both = (services, other)
        await asyncio.gather(
            *(
                send_events(both[n % 2], delivered(services, f"o-{n}", at=DELIVERED_AT + n * HOUR))
                for n in range(1, 21)
            )
        )
        await asyncio.gather(*(work(process) for process in both * 2))
    await work(services)
    assert await live(services) == {"o-1": 10, "o-2": 20}
    assert (await audit(settings)).broken == []


async def test_two_accounts_that_are_merged_have_one_number_of_first_orders(
    services: Services, settings: Settings
) -> None:
    await join(services, "m-2")
    await pay(services, [1, 4])
    await pay(services, [2, 3], "m-2")
    await deliver(services, 1, 4)
    await deliver(services, 2, 3, member_id="m-2")
    assert await live(services) == {"o-1": 10, "o-4": 40}
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
    await work(services)
    assert await live(services) == {"o-1": 10, "o-2": 20}
    assert await balance(services) == {"active": 30}
    assert (await audit(settings)).broken == []


async def test_orders_count_back_to_the_day_that_the_rule_names(services: Services) -> None:
    """Paid before the version was in force, and before the member joined."""
    october = datetime(2026, 10, 1, 0, 0, tzinfo=UTC) - 2 * HOUR  # Midnight in Madrid.
    early = paid(services, order_id="o-1", at=october - timedelta(seconds=1))
    assert await send_events(services, early) == ["not_offered"]
    assert await send_events(services, paid(services, order_id="o-2", at=october)) == []
    await deliver(services, 2)
    assert await live(services) == {"o-2": 10}


async def test_nothing_more_happens_when_nothing_has_changed(services: Services) -> None:
    await pay(services, [1, 2, 3])
    await deliver(services, 3, 2, 1)
    before = await rows(services.db, "SELECT count(*), max(seq) FROM entries")
    advance(services, HOUR)
    assert await send_events(services, delivered(services, "o-2", at=DELIVERED_AT + 2 * HOUR)) == []
    await work(services)
    assert await rows(services.db, "SELECT count(*), max(seq) FROM entries") == before


async def test_the_task_says_how_many_are_left(services: Services) -> None:
    async def left() -> tuple[str, int | None]:
        (task,) = (await read_tasks(services, PROGRAM, "m-1")).tasks
        return task.state, task.remaining

    assert await left() == ("open", 2)
    await pay(services, [1, 2])
    await deliver(services, 1)
    assert await left() == ("open", 1)
    await deliver(services, 2)
    assert await left() == ("done", 0)
    assert await send_events(services, returned(services, order_id="o-1")) == []
    await work(services)
    assert await left() == ("done", 0), "what is returned keeps its place"
    assert await send_events(services, cancelled(services, "o-2")) == []
    await work(services)
    assert await left() == ("open", 1)
    await pay(services, [3])
    await deliver(services, 3)
    assert await left() == ("done", 0)
