"""Orders earn the same, in whatever sequence and however often the shop sends their events."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations

import msgspec
import pytest

from engage.domain.earning.order_facts import OrderFacts
from engage.flows.checkout.close_holds import release_overdue
from engage.flows.members.merge import merge_members
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import AnyEvent, OrderPaid
from engage.flows.shop.take_events import take_events
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.shop.orders import add_orders
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, NOON, advance
from tests.support.database import rows
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.orders import (
    PROGRAM,
    balance,
    cancelled,
    credits,
    delivered,
    join,
    line,
    paid,
    returned,
    send_events,
    services_with_orders,
    spend,
)

MIDNIGHT = datetime(2026, 11, 21, 23, tzinfo=UTC)  # In Madrid.


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Checks after each test that the audit finds nothing."""
    async with services_with_orders(settings) as opened:
        await join(opened)
        yield opened
        await assert_audit_is_clean(opened)


async def due(services: Services) -> dict[str, object]:
    """Return due times of pending credits, by rule."""
    credits = await rows(services.db, "SELECT rule_id, due_at FROM credits WHERE state = 'pending'")
    return {str(rule): at for rule, at in credits}


async def test_points_wait_for_the_delivery(services: Services) -> None:
    assert await send_events(services, paid(services, line(paid=1999), line("2", 1), shipping=500)) == []
    assert await balance(services) == {"pending": 25}
    assert await due(services) == {"purchase": None}
    advance(services, DAY)
    assert await settle_due(services, now=services.clock.now()) == 0
    assert await send_events(services, delivered(services)) == []
    assert await settle_due(services, now=services.clock.now()) == 1
    assert await balance(services) == {"active": 25}
    (lot,) = await rows(services.db, "SELECT expires_at FROM lots")
    assert lot == (NOON.replace(year=2027) + DAY,), "twelve months from the delivery"


async def test_a_delivery_of_yesterday_is_due_at_once(services: Services) -> None:
    advance(services, 3 * DAY)
    await send_events(services, paid(services, at=NOON), delivered(services, at=NOON + 2 * DAY))
    assert await due(services) == {"purchase": NOON + 2 * DAY}
    assert await settle_due(services, now=services.clock.now()) == 1


async def test_the_doorbell_is_rung_for_a_delivery(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[datetime] = []

    async def ring(due: set[datetime]) -> None:
        rung.extend(due)

    monkeypatch.setattr(services.doorbell, "ring", ring)
    await send_events(services, paid(services))
    await send_events(services, delivered(services))
    await services.post_commit.drain()
    assert rung == [NOON]


async def test_other_points_of_the_order_are_due_on_the_next_local_day(services: Services) -> None:
    await send_events(services, paid(services, line(quantity=2, tag_points=4)))
    assert await due(services) == {"purchase": None, "tags": MIDNIGHT}
    await send_events(services, delivered(services))
    assert await due(services) == {"purchase": NOON, "tags": MIDNIGHT}
    assert [row[:3] for row in await credits(services)] == [
        ("purchase", "pending", 10),
        ("tags", "pending", 8),
    ]


async def test_the_part_that_points_paid_earns_nothing(services: Services) -> None:
    await send_events(services, paid(services, order_id="o-0"), delivered(services, "o-0"))
    await settle_due(services, now=NOON)
    hold_id = await spend(services, 3, "o-1")
    await send_events(services, paid(services, line(paid=300), hold_id=hold_id))
    assert await balance(services) == {"active": 7, "pending": 2}


async def test_an_order_that_no_rule_pays_for_is_accepted_and_earns_nothing(services: Services) -> None:
    assert (
        await send_events(services, paid(services, channel="store"), delivered(services), returned(services))
        == []
    )
    assert await balance(services) == {}


async def test_events_in_any_sequence_lead_to_the_same_points(services: Services) -> None:
    """Half of the order is returned; the delivery sets the due time of the rest."""
    for number, sequence in enumerate(permutations(range(3))):
        order_id = f"o-{number}"
        events: list[AnyEvent] = [
            paid(services, line(quantity=2), line("2", 0), order_id=order_id),
            delivered(services, order_id, at=NOON - DAY),
            returned(services, {"1": 1}, order_id=order_id),
        ]
        for n in sequence:
            assert await send_events(services, events[n]) == []
    found = await rows(services.db, "SELECT DISTINCT points, state, due_at FROM credits")
    assert found == [(5, "pending", NOON)], "not before the payment"
    assert await balance(services) == {"pending": 30}


async def test_an_order_that_was_cancelled_before_its_payment_keeps_nothing(services: Services) -> None:
    assert await send_events(services, cancelled(services)) == []
    assert await send_events(services, paid(services), delivered(services)) == []
    assert await balance(services) == {}
    assert await credits(services) == [("purchase", "reversed", 10, 0)]


async def test_a_cancelled_order_keeps_nothing_even_after_its_delivery(services: Services) -> None:
    await send_events(services, paid(services), delivered(services))
    await settle_due(services, now=NOON)
    assert await send_events(services, cancelled(services)) == []
    assert await balance(services) == {}
    assert await credits(services) == [("purchase", "reversed", 10, 10)]
    assert await send_events(services, delivered(services), cancelled(services), returned(services)) == [], (
        "nothing more"
    )
    assert await balance(services) == {}


async def test_a_repeated_payment_changes_nothing_and_another_one_is_refused(services: Services) -> None:
    two = paid(services, line("1"), line("2"))
    assert await send_events(services, two, two) == []
    again = paid(services, line("2"), line("1"), at=NOON - DAY)
    assert await send_events(services, again) == [], "the same under another id and time"
    taken = await take_events(services, [paid(services, line("1"))])
    assert [(refused.code, refused.facts) for refused in taken.refused.values()] == [
        ("order_conflict", {"order_id": "o-1"})
    ]
    assert await balance(services) == {"pending": 20}


async def test_each_refusal_is_reported_and_the_other_events_are_done(services: Services) -> None:
    await join(services, "brit", "GB")
    await join(services, "m-2")
    await send_events(services, paid(services, order_id="o-0"), delivered(services, "o-0"))
    await settle_due(services, now=NOON)
    hold_id = await spend(services, 2, "o-5")
    refused = await send_events(
        services,
        paid(services, order_id="o-1", member_id="nobody"),
        paid(services, order_id="o-2", member_id="brit"),
        paid(services, order_id="o-3", at=NOON + timedelta(minutes=6)),
        paid(services, order_id="o-4", at=datetime(2019, 1, 1, tzinfo=UTC)),
        paid(services, order_id="o-5", hold_id=hold_id, member_id="m-2"),
        paid(services, order_id="o-6", hold_id=hold_id),
        paid(services, order_id="o-7"),
        returned(services, {"9": 1}, order_id="o-7"),
        returned(services, {"1": 2}, order_id="o-7"),
        delivered(services, "never-paid"),
        returned(services, {"1": 2}, order_id="never-paid"),
    )
    assert refused == [
        "unknown_member",
        "wrong_currency",
        "time_in_future",
        "not_offered",
        "unknown_hold",
        "unknown_hold",
        "not_bought",
        "not_bought",
    ]
    assert await balance(services) == {"active": 8, "pending": 10}


async def test_a_refused_event_may_be_sent_again(services: Services) -> None:
    early = returned(services, {"1": 2})
    await send_events(services, paid(services, line(quantity=1)))
    assert await send_events(services, early) == ["not_bought"]
    fixed = msgspec.structs.replace(early, data=returned(services, {"1": 1}).data)
    assert await send_events(services, fixed) == []
    assert await send_events(services, fixed) == [], "now it is a repeat"
    assert await balance(services) == {}


async def test_an_order_earns_in_full_when_its_hold_was_released(services: Services) -> None:
    """The order was then paid by other means."""
    await send_events(services, paid(services, order_id="o-0"), delivered(services, "o-0"))
    await settle_due(services, now=NOON)
    hold_id = await spend(services, 10, "o-1", capture=False)
    advance(services, 2 * DAY)
    await send_events(services, paid(services, line(paid=200), hold_id=hold_id))
    assert await balance(services) == {"held": 10, "pending": 2}


async def test_the_discount_of_a_hold_stays_when_it_is_released_afterwards(services: Services) -> None:
    await send_events(services, paid(services, order_id="o-0"), delivered(services, "o-0"))
    await settle_due(services, now=NOON)
    hold_id = await spend(services, 3, "o-1", capture=False)
    await send_events(services, paid(services, line(paid=300), hold_id=hold_id))
    advance(services, 2 * DAY)
    await release_overdue(services, now=services.clock.now(), on_time=False)
    assert await balance(services) == {"active": 10, "pending": 2}


async def test_the_version_that_decided_an_order_decides_for_ever(services: Services) -> None:
    """The version and the zone of the first decision stay with the order."""
    await send_events(services, paid(services))
    (kept,) = await rows(services.db, "SELECT program_version, zone FROM orders")
    assert kept == ("1", "Europe/Madrid")


@pytest.mark.parametrize("turn", range(3))
async def test_the_same_events_from_two_callers_at_once_are_done_once(
    services: Services, other: Services, turn: int
) -> None:
    orders = [f"o-{n}" for n in range(20)]
    events: list[AnyEvent] = []
    for order_id in orders:
        events += [
            paid(services, line(quantity=2), order_id=order_id),
            delivered(services, order_id),
            returned(services, {"1": 1}, order_id=order_id),
        ]
    await asyncio.gather(
        *(
            take_events(process, sequence)
            for process in (services, other)
            for sequence in (events, events[::-1])
        )
    )
    assert (await take_events(services, events)).repeated == 60
    assert await balance(services) == {"pending": 100}


async def test_facts_that_another_call_adds_meanwhile_count_too(services: Services, other: Services) -> None:
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    async with asyncio.timeout(WITHIN_S):
        async with transaction(other.db) as conn:
            await add_orders(conn, {(PROGRAM, "m-1", "o-1"): OrderFacts(delivered_at=NOON)})
            taking = asyncio.create_task(
                take_events(services, [paid(services), paid(services, order_id="o-2")])
            )
            while await rows(other.db, waiting) == [(0,)]:
                await asyncio.sleep(LOOK_AGAIN_S)
        taken = await taking
    assert (taken.accepted, taken.repeated, taken.refused) == (2, 0, {})
    assert await balance(services) == {"pending": 20}
    delivered_at = await rows(services.db, "SELECT order_id, delivered_at FROM orders ORDER BY order_id")
    assert delivered_at == [("o-1", NOON), ("o-2", None)]
    assert await rows(services.db, "SELECT reference FROM credits WHERE due_at IS NOT NULL") == [
        ("order:o-1",)
    ]


async def test_a_refused_event_leaves_no_order_behind(services: Services) -> None:
    assert await send_events(services, paid(services, currency="GBP")) == ["wrong_currency"]
    assert await rows(services.db, "SELECT order_id FROM orders") == []


@pytest.mark.parametrize("turn", range(3))
async def test_orders_of_many_members_do_not_deadlock(services: Services, other: Services, turn: int) -> None:
    members = [f"m-{n}" for n in range(2, 22)]
    for member in members:
        await join(services, member)
    old: list[AnyEvent] = [paid(services, order_id=f"old-{m}", member_id=m) for m in members]
    await send_events(services, *old)
    mixed: list[AnyEvent] = []
    rest: list[AnyEvent] = []
    for n, member in enumerate(members):
        first, second = (mixed, rest) if n % 2 else (rest, mixed)
        first.append(paid(services, order_id=f"new-{member}", member_id=member))
        second.append(returned(services, order_id=f"old-{member}", member_id=member))
    answers = await asyncio.gather(take_events(services, mixed), take_events(other, rest[::-1]))
    assert [answer.accepted for answer in answers] == [20, 20]
    for member in members:
        assert await balance(services, member) == {"pending": 10}


async def test_a_call_takes_a_thousand_events(services: Services) -> None:
    events = [
        paid(services, line(str(n), 100), order_id=f"o-{n % 400}")
        if n < 400
        else delivered(services, f"o-{n % 400}")
        for n in range(1000)
    ]
    assert await send_events(services, *events) == []
    assert await balance(services) == {"pending": 400}
    assert await settle_due(services, now=NOON) == 400


def test_two_lines_of_an_order_cannot_have_one_id() -> None:
    body = b'{"order_id":"o","channel":"web","payment":{"method":"card"},"currency":"EUR","lines":[%s,%s]}'
    one, two = (b'{"line_id":"%d","product_id":"p","paid":1}' % n for n in (1, 2))
    assert msgspec.json.decode(body % (one, two), type=OrderPaid).order().reference == "order:o"
    with pytest.raises(msgspec.ValidationError, match="different line_ids"):
        msgspec.json.decode(body % (one, one), type=OrderPaid)


@pytest.mark.parametrize(
    ("before_joining", "earned"),
    [(timedelta(), 10), (timedelta(minutes=5), 10), (timedelta(minutes=6), 0), (400 * DAY, 0)],
)
async def test_an_order_older_than_the_membership_earns_nothing(
    services: Services, before_joining: timedelta, earned: int
) -> None:
    order = paid(services, at=NOON - before_joining)
    assert await send_events(services, order, delivered(services)) == []
    await settle_due(services, now=services.clock.now())
    assert await balance(services) == ({"active": earned} if earned else {})
    assert await send_events(services, order, returned(services)) == []
    assert await balance(services) == {}


async def test_a_survivor_is_a_member_since_the_earlier_of_the_two_joined(
    services: Services, other: Services
) -> None:
    advance(services, 10 * DAY)
    await join(services, "m-2")
    assert await send_events(other, paid(other, order_id="o-1", at=NOON + DAY, member_id="m-2")) == []
    assert await balance(services, "m-2") == {}
    await merge_members(services, PROGRAM, "m-1", into="m-2", reason="one", operator="key-1")
    for process, member in ((services, "m-1"), (services, "m-2"), (other, "m-1")):
        order = paid(process, order_id=f"o-{member}-{process is other}", at=NOON + DAY, member_id=member)
        assert await send_events(process, order) == []
    assert await balance(services, "m-2") == {"pending": 30}


async def test_a_fact_that_is_reported_again_puts_an_order_right(services: Services) -> None:
    """As a merger of an earlier release left it: delivered, and pending without a due time."""
    assert await send_events(services, paid(services), delivered(services)) == []
    async with services.db.begin() as conn:
        await conn.exec_driver_sql("UPDATE credits SET due_at = NULL, expires_at = NULL")
    assert await settle_due(services, now=services.clock.now()) == 0
    assert await send_events(services, delivered(services)) == []
    assert await settle_due(services, now=services.clock.now()) == 1
    assert await balance(services) == {"active": 10}
