"""Orders earn: whatever the shop tells of them, in whatever order, once or often."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations

import msgspec
import pytest

from engage.flows.checkout.end_holds import release_overdue
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import AnyEvent, OrderPaid
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Parts
from engage.settings import Settings
from tests.support.audit import broken
from tests.support.orders import (
    balance,
    cancelled,
    credits,
    delivered,
    join,
    line,
    ordering,
    paid,
    returned,
    spend,
    tell,
)
from tests.support.playing import DAY, NOON, advance, rows

MIDNIGHT = datetime(2026, 11, 21, 23, tzinfo=UTC)  # Of Madrid.


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    """Whatever a test did, the audit has nothing to say."""
    async with ordering(settings) as opened:
        await join(opened)
        yield opened
        assert await broken(opened) == []


@pytest.fixture
async def other(settings: Settings, parts: Parts) -> AsyncIterator[Parts]:
    async with ordering(settings, parts.clock) as opened:
        yield opened


async def due(parts: Parts) -> dict[str, object]:
    """Due times of pending credits, by rule."""
    found = await rows(parts.db, "SELECT rule_id, due_at FROM credits WHERE state = 'pending'")
    return {str(rule): at for rule, at in found}


async def test_points_wait_for_the_delivery(parts: Parts) -> None:
    assert await tell(parts, paid(parts, line(paid=1999), line("2", 1), shipping=500)) == []
    assert await balance(parts) == {"pending": 25}
    assert await due(parts) == {"purchase": None}
    advance(parts, DAY)
    assert await settle_due(parts, now=parts.clock.now()) == 0
    assert await tell(parts, delivered(parts)) == []
    assert await settle_due(parts, now=parts.clock.now()) == 1
    assert await balance(parts) == {"active": 25}
    (lot,) = await rows(parts.db, "SELECT expires_at FROM lots")
    assert lot == (NOON.replace(year=2027) + DAY,), "twelve months from the delivery"


async def test_a_delivery_of_yesterday_is_due_at_once(parts: Parts) -> None:
    await tell(parts, paid(parts, at=NOON - 3 * DAY), delivered(parts, at=NOON - DAY))
    assert await due(parts) == {"purchase": NOON - DAY}
    assert await settle_due(parts, now=parts.clock.now()) == 1


async def test_the_doorbell_is_rung_for_a_delivery(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[datetime] = []

    async def ring(due: set[datetime]) -> None:
        rung.extend(due)

    monkeypatch.setattr(parts.doorbell, "ring", ring)
    await tell(parts, paid(parts))
    await tell(parts, delivered(parts))
    await parts.after.drain()
    assert rung == [NOON]


async def test_other_points_of_the_order_are_due_on_the_next_local_day(parts: Parts) -> None:
    await tell(parts, paid(parts, line(quantity=2, tag_points=4)))
    assert await due(parts) == {"purchase": None, "tags": MIDNIGHT}
    await tell(parts, delivered(parts))
    assert await due(parts) == {"purchase": NOON, "tags": MIDNIGHT}
    assert [row[:3] for row in await credits(parts)] == [("purchase", "pending", 10), ("tags", "pending", 8)]


async def test_what_points_paid_earns_nothing(parts: Parts) -> None:
    await tell(parts, paid(parts, order_id="o-0"), delivered(parts, "o-0"))
    await settle_due(parts, now=NOON)
    hold_id = await spend(parts, 3, "o-1")
    await tell(parts, paid(parts, line(paid=300), hold_id=hold_id))
    assert await balance(parts) == {"active": 7, "pending": 2}


async def test_an_order_that_no_rule_pays_for_is_taken_and_earns_nothing(parts: Parts) -> None:
    assert await tell(parts, paid(parts, channel="store"), delivered(parts), returned(parts)) == []
    assert await balance(parts) == {}


async def test_every_order_of_events_comes_to_the_same(parts: Parts) -> None:
    """Half of the order stays, and is due by its delivery."""
    for number, way in enumerate(permutations(range(3))):
        order_id = f"o-{number}"
        events: list[AnyEvent] = [
            paid(parts, line(quantity=2), line("2", 0), order_id=order_id),
            delivered(parts, order_id, at=NOON - DAY),
            returned(parts, {"1": 1}, order_id=order_id),
        ]
        for n in way:
            assert await tell(parts, events[n]) == []
    found = await rows(parts.db, "SELECT DISTINCT points, state, due_at FROM credits")
    assert found == [(5, "pending", NOON)], "not before the payment"
    assert await balance(parts) == {"pending": 30}


async def test_an_order_that_was_cancelled_before_its_payment_keeps_nothing(parts: Parts) -> None:
    assert await tell(parts, cancelled(parts)) == []
    assert await tell(parts, paid(parts), delivered(parts)) == []
    assert await balance(parts) == {}
    assert await credits(parts) == [("purchase", "reversed", 10, 0)]


async def test_a_cancelled_order_keeps_nothing_though_it_was_delivered(parts: Parts) -> None:
    await tell(parts, paid(parts), delivered(parts))
    await settle_due(parts, now=NOON)
    assert await tell(parts, cancelled(parts)) == []
    assert await balance(parts) == {}
    assert await credits(parts) == [("purchase", "reversed", 10, 10)]
    assert await tell(parts, delivered(parts), cancelled(parts), returned(parts)) == [], "nothing more"
    assert await balance(parts) == {}


async def test_a_payment_told_again_does_nothing_and_another_one_is_refused(parts: Parts) -> None:
    two = paid(parts, line("1"), line("2"))
    assert await tell(parts, two, two) == []
    again = paid(parts, line("2"), line("1"), at=NOON - DAY)
    assert await tell(parts, again) == [], "the same under another id and time"
    taken = await take_events(parts, [paid(parts, line("1"))])
    assert [(one.code, one.facts) for one in taken.refused] == [("order_conflict", {"order_id": "o-1"})]
    assert await balance(parts) == {"pending": 20}


async def test_each_mistake_is_told_and_the_others_of_the_list_go_on(parts: Parts) -> None:
    await join(parts, "brit", "GB")
    await join(parts, "m-2")
    await tell(parts, paid(parts, order_id="o-0"), delivered(parts, "o-0"))
    await settle_due(parts, now=NOON)
    hold_id = await spend(parts, 2, "o-5")
    refused = await tell(
        parts,
        paid(parts, order_id="o-1", member_id="nobody"),
        paid(parts, order_id="o-2", member_id="brit"),
        paid(parts, order_id="o-3", at=NOON + timedelta(minutes=6)),
        paid(parts, order_id="o-4", at=datetime(2019, 1, 1, tzinfo=UTC)),
        paid(parts, order_id="o-5", hold_id=hold_id, member_id="m-2"),
        paid(parts, order_id="o-6", hold_id=hold_id),
        paid(parts, order_id="o-7"),
        returned(parts, {"9": 1}, order_id="o-7"),
        returned(parts, {"1": 2}, order_id="o-7"),
        delivered(parts, "never-paid"),
        returned(parts, {"1": 2}, order_id="never-paid"),
    )
    assert refused == [
        "unknown_member",
        "time_in_future",
        "wrong_currency",
        "not_offered",
        "unknown_hold",
        "unknown_hold",
        "not_bought",
        "not_bought",
    ]
    assert await balance(parts) == {"active": 8, "pending": 10}


async def test_what_is_refused_may_be_sent_again(parts: Parts) -> None:
    early = returned(parts, {"1": 2})
    await tell(parts, paid(parts, line(quantity=1)))
    assert await tell(parts, early) == ["not_bought"]
    fixed = msgspec.structs.replace(early, data=returned(parts, {"1": 1}).data)
    assert await tell(parts, fixed) == []
    assert await tell(parts, fixed) == [], "now it is a repeat"
    assert await balance(parts) == {}


async def test_points_of_a_hold_that_was_let_go_earn(parts: Parts) -> None:
    """The order was paid otherwise then."""
    await tell(parts, paid(parts, order_id="o-0"), delivered(parts, "o-0"))
    await settle_due(parts, now=NOON)
    hold_id = await spend(parts, 10, "o-1", capture=False)
    advance(parts, 2 * DAY)
    await tell(parts, paid(parts, line(paid=200), hold_id=hold_id))
    assert await balance(parts) == {"held": 10, "pending": 2}


async def test_what_a_hold_took_off_stays_off_though_it_is_let_go_afterwards(parts: Parts) -> None:
    await tell(parts, paid(parts, order_id="o-0"), delivered(parts, "o-0"))
    await settle_due(parts, now=NOON)
    hold_id = await spend(parts, 3, "o-1", capture=False)
    await tell(parts, paid(parts, line(paid=300), hold_id=hold_id))
    advance(parts, 2 * DAY)
    await release_overdue(parts, now=parts.clock.now(), on_time=False)
    assert await balance(parts) == {"active": 10, "pending": 2}


async def test_a_rule_that_paid_is_asked_for_ever(parts: Parts) -> None:
    """The version and the zone that decided stay with the order."""
    await tell(parts, paid(parts))
    (kept,) = await rows(parts.db, "SELECT program_version, zone FROM orders")
    assert kept == ("1", "Europe/Madrid")


@pytest.mark.parametrize("turn", range(3))
async def test_the_same_events_from_two_callers_at_once_do_their_work_once(
    parts: Parts, other: Parts, turn: int
) -> None:
    orders = [f"o-{n}" for n in range(20)]
    events: list[AnyEvent] = []
    for order_id in orders:
        events += [
            paid(parts, line(quantity=2), order_id=order_id),
            delivered(parts, order_id),
            returned(parts, {"1": 1}, order_id=order_id),
        ]
    await asyncio.gather(
        *(take_events(each, some) for each in (parts, other) for some in (events, events[::-1]))
    )
    assert (await take_events(parts, events)).repeated == 60
    assert await balance(parts) == {"pending": 100}


@pytest.mark.parametrize("turn", range(3))
async def test_orders_of_many_members_do_not_wait_in_a_circle(parts: Parts, other: Parts, turn: int) -> None:
    members = [f"m-{n}" for n in range(2, 22)]
    for member in members:
        await join(parts, member)
    old: list[AnyEvent] = [paid(parts, order_id="old", member_id=member) for member in members]
    await tell(parts, *old)
    mixed: list[AnyEvent] = []
    for n, member in enumerate(members):
        if n % 2:
            mixed.append(paid(parts, order_id="new", member_id=member))
        else:
            mixed.append(returned(parts, order_id="old", member_id=member))
    rest: list[AnyEvent] = [
        paid(parts, order_id="new", member_id=member)
        if n % 2 == 0
        else returned(parts, order_id="old", member_id=member)
        for n, member in enumerate(members)
    ]
    answers = await asyncio.gather(take_events(parts, mixed), take_events(other, rest[::-1]))
    assert [answer.accepted for answer in answers] == [20, 20]
    for member in members:
        assert await balance(parts, member) == {"pending": 10}


async def test_a_thousand_events_are_one_call(parts: Parts) -> None:
    events = [
        paid(parts, line(str(n), 100), order_id=f"o-{n % 400}")
        if n < 400
        else delivered(parts, f"o-{n % 400}")
        for n in range(1000)
    ]
    assert await tell(parts, *events) == []
    assert await balance(parts) == {"pending": 400}
    assert await settle_due(parts, now=NOON) == 400


def test_an_order_has_no_two_lines_of_one_id() -> None:
    body = b'{"order_id":"o","channel":"web","payment":{"method":"card"},"currency":"EUR","lines":[%s,%s]}'
    one, two = (b'{"line_id":"%d","product_id":"p","paid":1}' % n for n in (1, 2))
    assert msgspec.json.decode(body % (one, two), type=OrderPaid).order().reference == "order:o"
    with pytest.raises(msgspec.ValidationError, match="same line_id"):
        msgspec.json.decode(body % (one, one), type=OrderPaid)
