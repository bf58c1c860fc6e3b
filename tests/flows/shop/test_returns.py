"""What was earned is taken back, and what was spent comes back, exactly once and to the point."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engage.flows.checkout.end_holds import Ending, end_holds
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.ledger.accounts import lock_balances
from engage.runtime.database import transaction
from engage.runtime.ids import new_id
from engage.runtime.services import Parts
from engage.settings import Settings
from tests.support.audit import broken
from tests.support.orders import (
    PROGRAM,
    balance,
    buy,
    cancelled,
    credits,
    delivered,
    join,
    line,
    ordering,
    paid,
    returned,
    review_removed,
    spend,
    tell,
    write_review,
)
from tests.support.playing import DAY, advance, rows

YEAR = timedelta(days=365)


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


async def statement(parts: Parts) -> list[tuple[object, ...]]:
    return await rows(
        parts.db, "SELECT kind, active_delta, debt_delta, reference FROM entries ORDER BY member_id, seq"
    )


async def test_pending_points_shrink_with_what_comes_back(parts: Parts) -> None:
    await tell(parts, paid(parts, line("1", 1500, 2), line("2", 1000), shipping=600))
    assert await balance(parts) == {"pending": 31}
    await tell(parts, returned(parts, {"1": 1}, return_id="r-1"))
    assert await balance(parts) == {"pending": 22}, "31 less 30 % of it, 9.3"
    await tell(parts, returned(parts, {"1": 1}, return_id="r-2"), returned(parts, {"2": 1}, return_id="r-3"))
    assert await balance(parts) == {}
    assert await credits(parts) == [("purchase", "reversed", 22, 0)], "it keeps what it had last"
    assert await rows(parts.db, "SELECT points, reference FROM reductions") == [(9, "return:r-1")]
    assert await statement(parts) == []


async def test_active_points_are_taken_from_their_own_lot_first(parts: Parts) -> None:
    await buy(parts, order_id="older")
    advance(parts, DAY)
    await buy(parts, line(quantity=2))
    await tell(parts, returned(parts, {"1": 1}, return_id="r-1"))
    assert await balance(parts) == {"active": 15}
    assert await rows(parts.db, "SELECT remaining FROM lots ORDER BY active_at") == [(10,), (5,)]
    await tell(parts, returned(parts, return_id="r-2"))
    assert await credits(parts) == [("purchase", "reversed", 10, 10), ("purchase", "active", 10, 0)]
    assert (await statement(parts))[2:] == [
        ("clawback", -5, 0, "return:r-1"),
        ("clawback", -5, 0, "return:r-2"),
    ]
    corrected = "SELECT corrects FROM entries WHERE kind = 'clawback'"
    earned = await rows(parts.db, f"SELECT kind, credit_id FROM entries WHERE seq IN ({corrected})")
    taken = await rows(parts.db, "SELECT id FROM credits WHERE state = 'reversed'")
    assert earned == [("earning", *taken[0])], "they name the entry that earned the points"


async def test_points_that_are_spent_are_owed_and_paid_of_the_next(parts: Parts) -> None:
    await buy(parts)
    await spend(parts, 8)
    await tell(parts, returned(parts))
    assert await balance(parts) == {"debt": 8}
    advance(parts, DAY)
    await buy(parts, order_id="o-2")
    assert await balance(parts) == {"active": 2}
    assert [entry[0] for entry in await statement(parts)][-3:] == ["clawback", "earning", "recovery"]


async def test_a_return_told_twice_counts_once(parts: Parts) -> None:
    await tell(parts, paid(parts, line(quantity=2)))
    once, again = (returned(parts, {"1": 1}, return_id="r-1") for _ in range(2))
    assert await tell(parts, once, again) == []
    assert await balance(parts) == {"pending": 5}
    assert await tell(parts, returned(parts, return_id="rest"), returned(parts, return_id="nothing")) == []
    assert await tell(parts, returned(parts, {"1": 1})) == ["not_bought"]
    assert await balance(parts) == {}


async def test_what_came_back_before_the_payment_was_known_is_clamped(parts: Parts) -> None:
    early = returned(parts, {"1": 5, "9": 1}, return_id="r-1")
    assert await tell(parts, early, paid(parts, line("1"), line("2"))) == []
    assert await balance(parts) == {"pending": 10}
    assert await tell(parts, returned(parts, {"2": 1})) == [], "others can still come back"
    assert await balance(parts) == {}


async def test_spent_points_go_back_to_the_newest_of_their_lots(parts: Parts) -> None:
    for order_id in ("old", "new"):
        await buy(parts, order_id=order_id)
        advance(parts, DAY)
    await spend(parts, 16, "o-1")
    await tell(parts, paid(parts, line(quantity=4)))
    assert await balance(parts) == {"active": 4, "pending": 10}
    await tell(parts, returned(parts, {"1": 2}, return_id="r-1"))
    assert await rows(parts.db, "SELECT remaining FROM lots ORDER BY active_at") == [(2,), (10,)]
    assert await balance(parts) == {"active": 12, "pending": 5}
    await tell(parts, cancelled(parts))
    assert await balance(parts) == {"active": 20}
    assert (await statement(parts))[-2:] == [
        ("reinstatement", 8, 0, "return:r-1"),
        ("reinstatement", 8, 0, "cancelled:o-1"),
    ]
    assert await rows(parts.db, "SELECT state, reinstated FROM holds") == [("captured", 16)]


async def test_lines_that_points_could_not_pay_bring_none_back(parts: Parts) -> None:
    await buy(parts, order_id="old")
    await spend(parts, 9, "o-1")
    await tell(parts, paid(parts, line("1"), line("2", promotion=True)))
    await tell(parts, returned(parts, {"2": 1}))
    assert await balance(parts) == {"active": 1, "pending": 10}
    await tell(parts, returned(parts, {"1": 1}))
    assert await balance(parts) == {"active": 10}


async def test_points_whose_lot_has_ended_come_back_for_a_time_of_grace(parts: Parts) -> None:
    await buy(parts, order_id="old")
    await spend(parts, 6, "o-1")
    advance(parts, YEAR)
    await tell(parts, cancelled(parts))
    assert await balance(parts) == {"active": 6}, "the other 4 have expired"
    (lot,) = await rows(parts.db, "SELECT remaining, expired, expires_at FROM lots")
    assert lot == (6, 4, parts.clock.now() + 10 * DAY)


async def test_spent_points_come_back_before_earned_ones_are_taken(parts: Parts) -> None:
    """An order that was paid with what it earned itself, as far as the ledger knows: no debt stays."""
    await buy(parts)
    await spend(parts, 10, "o-1")
    await tell(parts, returned(parts))
    assert await balance(parts) == {}
    assert [entry[0] for entry in await statement(parts)][-2:] == ["reinstatement", "clawback"]


async def test_a_cancelled_order_lets_its_open_hold_go_paid_or_not(parts: Parts) -> None:
    await buy(parts, order_id="old")
    for order_id in ("o-1", "o-2"):
        await spend(parts, 4, order_id, capture=False)
    await tell(parts, paid(parts))
    assert await balance(parts) == {"active": 2, "held": 8, "pending": 10}
    await tell(parts, cancelled(parts), cancelled(parts, "o-2"))
    assert await balance(parts) == {"active": 10}
    assert await rows(parts.db, "SELECT DISTINCT state FROM holds") == [("released",)]


async def test_what_came_back_before_points_were_captured_follows_the_capture(parts: Parts) -> None:
    await buy(parts, order_id="old")
    hold_id = await spend(parts, 10, "o-1", capture=False)
    await tell(parts, paid(parts, line(quantity=2)), returned(parts, {"1": 1}))
    assert await balance(parts) == {"held": 10, "pending": 5}
    for _ in range(2):
        await end_holds(parts, [Ending(hold_id, "captured")])
        assert await balance(parts) == {"active": 5, "pending": 5}


async def test_a_removed_review_that_was_spent_is_owed(parts: Parts) -> None:
    await write_review(parts)
    await settle_due(parts, now=advance(parts, DAY))
    await spend(parts, 15)
    assert await tell(parts, review_removed(parts, "r-1")) == []
    assert await balance(parts) == {"debt": 15}
    assert await tell(parts, review_removed(parts, "r-1")) == []
    await write_review(parts, "r-2")
    await settle_due(parts, now=advance(parts, DAY))
    assert await balance(parts) == {"active": 5}


async def test_what_has_expired_is_not_taken_again(parts: Parts) -> None:
    await buy(parts)
    await spend(parts, 3)
    advance(parts, YEAR)
    await tell(parts, returned(parts))
    assert await balance(parts) == {"debt": 3}
    assert await tell(parts, cancelled(parts)) == []
    assert await balance(parts) == {"debt": 3}


async def test_points_due_while_they_shrink_are_settled_soon(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[object] = []

    async def ring(due: set[object]) -> None:
        rung.extend(due)

    await tell(parts, paid(parts, line(quantity=2)), delivered(parts))
    await parts.after.drain()
    monkeypatch.setattr(parts.doorbell, "ring", ring)
    await tell(parts, returned(parts, {"1": 1}))
    await parts.after.drain()
    assert rung == [parts.clock.now()], "a settlement may have passed it by in the meantime"


@pytest.mark.parametrize("turn", range(4))
async def test_a_return_and_a_settlement_at_once_agree(parts: Parts, other: Parts, turn: int) -> None:
    orders = [f"o-{n}" for n in range(20)]
    bought: list[AnyEvent] = [paid(parts, line(quantity=2), order_id=order) for order in orders]
    sent: list[AnyEvent] = [delivered(parts, order) for order in orders]
    assert await tell(parts, *bought, *sent) == []
    back: list[AnyEvent] = [returned(parts, {"1": 1}, order_id=order) for order in orders]
    work = [take_events(other, back), settle_due(parts, now=parts.clock.now())]
    await asyncio.gather(*(work if turn % 2 else work[::-1]))
    await settle_due(parts, now=parts.clock.now())
    assert await balance(parts) == {"active": 100}


@pytest.mark.parametrize("turn", range(4))
async def test_two_returns_at_once_are_both_counted(parts: Parts, other: Parts, turn: int) -> None:
    orders = [f"o-{n}" for n in range(10)]
    for order in orders:
        await buy(parts, line("1"), line("2"), order_id=order)
    await spend(parts, 150, "o-0")
    first: list[AnyEvent] = [returned(parts, {"1": 1}, order_id=order) for order in orders]
    second: list[AnyEvent] = [returned(parts, {"2": 1}, order_id=order) for order in reversed(orders)]
    await asyncio.gather(take_events(parts, first), take_events(other, second))
    assert await balance(parts) == {}
    assert await rows(parts.db, "SELECT sum(taken_back) FROM credits WHERE state = 'reversed'") == [(200,)]


async def test_points_are_taken_back_no_earlier_than_what_was_waited_for(parts: Parts, other: Parts) -> None:
    """Else a report of an instant between the two would tell of points below nothing."""
    await buy(parts)
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    async with asyncio.timeout(10):
        async with transaction(other.db) as conn:
            await lock_balances(conn, [(PROGRAM, "m-1")])
            taking = asyncio.create_task(take_events(parts, [returned(parts)]))
            while await rows(other.db, waiting) == [(0,)]:
                await asyncio.sleep(0.01)
            advance(parts, timedelta(seconds=2))
        await taking
    taken = await rows(parts.db, "SELECT at FROM entries WHERE kind = 'clawback'")
    assert taken == [(parts.clock.now(),)]


lives = st.lists(
    st.sampled_from(["pay", "deliver", "settle", "one", "other", "all", "cancel", "spend", "time"]),
    min_size=3,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives, st.integers(0, 10**6))
async def test_an_order_that_is_back_leaves_nothing_whatever_happened_before(
    parts: Parts, life: list[str], number: int
) -> None:
    member, order = f"life-{new_id()}", f"o-{number}"
    of: dict[str, Any] = {"order_id": order, "member_id": member}
    await join(parts, member)
    for step in [*life, "pay", "all", "settle"]:
        match step:
            case "pay":
                await tell(parts, paid(parts, line("1", 3333, 3), line("2", 700, tag_points=5), **of))
            case "deliver":
                await tell(parts, delivered(parts, **of))
            case "settle":
                await settle_due(parts, now=advance(parts, 2 * DAY))
            case "one" | "other":
                await tell(parts, returned(parts, {"1" if step == "one" else "2": 1}, **of))
            case "all":
                await tell(parts, returned(parts, **of))
            case "cancel":
                await tell(parts, cancelled(parts, **of))
            case "spend":
                active = (await balance(parts, member)).get("active", 0)
                if active > 1:
                    await spend(parts, active // 2, order, member_id=member)
            case _:
                advance(parts, DAY)
    assert await balance(parts, member) == {}


@pytest.mark.parametrize("turn", range(4))
async def test_a_capture_and_a_return_at_once_agree(parts: Parts, other: Parts, turn: int) -> None:
    orders = [f"o-{n}" for n in range(10)]
    await buy(parts, line(paid=20_000), order_id="old")
    hold_ids = [await spend(parts, 10, order, capture=False) for order in orders]
    bought: list[AnyEvent] = [paid(parts, line(quantity=2), order_id=order) for order in orders]
    back: list[AnyEvent] = [returned(parts, {"1": 1}, order_id=order) for order in orders]
    await tell(parts, *bought)
    work = [
        take_events(parts, back),
        *(end_holds(other, [Ending(hold_id, "captured")]) for hold_id in hold_ids),
    ]
    await asyncio.gather(*(work if turn % 2 else work[::-1]))
    assert await balance(parts) == {"active": 150, "pending": 50}
