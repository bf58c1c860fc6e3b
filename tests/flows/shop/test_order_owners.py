"""One order is paid by one member: the database refuses it to every other one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from alembic import command

from engage.flows.members.erase import erase_member
from engage.flows.operations.audit import audit_snapshot
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.runtime.database import open_database, snapshot
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.database import rows
from tests.support.migrations import move
from tests.support.orders import (
    PROGRAM,
    balance,
    buy,
    cancelled,
    delivered,
    join,
    paid,
    returned,
    send_events,
    services_with_orders,
)

MEMBERS = ("m-1", "m-2", "m-3", "m-4")


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_orders(settings) as opened:
        for member in MEMBERS:
            await join(opened, member)
        yield opened


async def test_an_order_that_another_member_paid_is_refused(services: Services) -> None:
    assert await send_events(services, paid(services)) == []
    assert await send_events(services, paid(services, member_id="m-2")) == ["order_conflict"]
    assert await send_events(services, paid(services)) == [], "the same payment again"
    assert await balance(services) == {"pending": 10}
    assert await balance(services, "m-2") == {}
    await assert_audit_is_clean(services)


async def test_in_one_call_the_first_payment_counts(services: Services) -> None:
    events = [paid(services, member_id=member) for member in ("m-3", "m-1", "m-3", "m-2")]
    taken = await take_events(services, events)
    assert (taken.accepted, list(taken.refused)) == (2, [1, 3])
    assert await balance(services, "m-3") == {"pending": 10}
    await assert_audit_is_clean(services)


async def test_a_refused_payment_does_not_take_the_order(services: Services) -> None:
    wrong = paid(services, member_id="m-2", currency="GBP")
    assert await send_events(services, wrong, paid(services)) == ["wrong_currency"]
    assert await send_events(services, paid(services, member_id="m-2")) == ["order_conflict"]
    assert await balance(services) == {"pending": 10}
    await assert_audit_is_clean(services)


async def test_facts_reported_for_another_member_leave_an_order_as_it_is(services: Services) -> None:
    def strange(member: str) -> list[AnyEvent]:
        return [
            delivered(services, member_id=member),
            returned(services, member_id=member),
            cancelled(services, member_id=member),
        ]

    assert await send_events(services, *strange("m-2")) == []
    assert await send_events(services, paid(services)) == []
    assert await send_events(services, *strange("m-3")) == []
    assert await rows(services.db, "SELECT state, due_at, taken_back FROM credits") == [("pending", None, 0)]
    await assert_audit_is_clean(services)


@pytest.mark.parametrize("turn", range(3))
async def test_of_payments_at_once_one_is_accepted(services: Services, other: Services, turn: int) -> None:
    orders = [f"o-{n}" for n in range(10)]
    calls = [
        [paid(services, order_id=order, member_id=member) for order in (orders if n % 2 else orders[::-1])]
        for n, member in enumerate(MEMBERS)
    ]
    answers = await asyncio.gather(
        *(take_events((services, other)[n % 2], events) for n, events in enumerate(calls))
    )
    assert sum(answer.accepted for answer in answers) == len(orders)
    refusals = [refused.code for answer in answers for refused in answer.refused.values()]
    assert refusals == ["order_conflict"] * (3 * len(orders))
    found = await rows(services.db, "SELECT count(*), count(DISTINCT reference) FROM credits")
    assert found == [(10, 10)]
    await assert_audit_is_clean(services)


async def test_the_orders_of_an_erased_member_are_forgotten(services: Services) -> None:
    await buy(services)
    await erase_member(services, PROGRAM, "m-1", operator="key-1")
    assert await rows(services.db, "SELECT 1 FROM order_owners") == []
    await assert_audit_is_clean(services)


async def test_an_older_folder_keeps_the_first_payer_and_the_audit_names_the_others(
    own_database: Settings,
) -> None:
    async with services_with_orders(own_database) as services:
        for member in MEMBERS[:3]:
            await join(services, member)
            # As the release before did: nobody knows whom the order belongs to.
            await send_events(services, paid(services, member_id=member))
            await rows(services.db, "SELECT 1")
            async with services.db.begin() as conn:
                await conn.exec_driver_sql("DELETE FROM order_owners")
                await conn.exec_driver_sql(
                    "UPDATE orders SET paid_at = paid_at - interval '1 hour' WHERE member_id = 'm-2'"
                )
        await services.post_commit.drain()
        tables = open_database(own_database.database_url, pool_size=1, any_schema=True)
        await move(tables, command.downgrade, "0003")
        await move(tables, command.upgrade, "head")
        await tables.dispose()
        assert await rows(services.db, "SELECT member_id FROM order_owners") == [("m-2",)]
        async with snapshot(services.db) as conn:
            (finding,) = (await audit_snapshot(conn, services.clock)).broken
        named = sorted(row[finding.columns.index("member_id")] for row in finding.rows)
        assert (finding.check.name, named) == ("orders_have_one_owner", ["m-1", "m-3"])
        # Their orders can still be taken back.
        assert await send_events(services, cancelled(services, member_id="m-1")) == []
        assert await balance(services, "m-1") == {}
