"""Returns take back earned points and give back spent ones, exactly once and to the point."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engage.flows.checkout.close_holds import HoldClosing, close_holds
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.ledger.accounts import lock_balances
from engage.runtime.database import transaction
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.generated_cases import cases
from tests.support.orders import (
    PROGRAM,
    balance,
    buy,
    cancelled,
    credits,
    delivered,
    join,
    line,
    paid,
    returned,
    review_removed,
    send_events,
    services_with_orders,
    spend,
    write_review,
)

YEAR = timedelta(days=365)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Checks after each test that the audit finds nothing."""
    async with services_with_orders(settings) as opened:
        await join(opened)
        yield opened
        await assert_audit_is_clean(opened)


async def statement(services: Services) -> list[tuple[object, ...]]:
    return await rows(
        services.db, "SELECT kind, active_delta, debt_delta, reference FROM entries ORDER BY member_id, seq"
    )


async def test_pending_points_shrink_with_returns(services: Services) -> None:
    await send_events(services, paid(services, line("1", 1500, 2), line("2", 1000), shipping=600))
    assert await balance(services) == {"pending": 31}
    await send_events(services, returned(services, {"1": 1}, return_id="r-1"))
    assert await balance(services) == {"pending": 22}, "31 less 30 % of it, 9.3"
    await send_events(
        services, returned(services, {"1": 1}, return_id="r-2"), returned(services, {"2": 1}, return_id="r-3")
    )
    assert await balance(services) == {}
    assert await credits(services) == [("purchase", "reversed", 22, 0)], "it keeps what it had last"
    assert await rows(services.db, "SELECT points, reference FROM reductions") == [(9, "return:r-1")]
    assert await statement(services) == []


async def test_active_points_are_taken_from_their_own_lot_first(services: Services) -> None:
    await buy(services, order_id="older")
    advance(services, DAY)
    await buy(services, line(quantity=2))
    await send_events(services, returned(services, {"1": 1}, return_id="r-1"))
    assert await balance(services) == {"active": 15}
    assert await rows(services.db, "SELECT remaining FROM lots ORDER BY active_at") == [(10,), (5,)]
    await send_events(services, returned(services, return_id="r-2"))
    assert await credits(services) == [("purchase", "reversed", 10, 10), ("purchase", "active", 10, 0)]
    assert (await statement(services))[2:] == [
        ("clawback", -5, 0, "return:r-1"),
        ("clawback", -5, 0, "return:r-2"),
    ]
    corrected = "SELECT corrects FROM entries WHERE kind = 'clawback'"
    earned = await rows(services.db, f"SELECT kind, credit_id FROM entries WHERE seq IN ({corrected})")
    taken = await rows(services.db, "SELECT id FROM credits WHERE state = 'reversed'")
    assert earned == [("earning", *taken[0])], "they name the entry that earned the points"


async def test_spent_points_become_debt_that_the_next_points_pay(services: Services) -> None:
    await buy(services)
    await spend(services, 8)
    await send_events(services, returned(services))
    assert await balance(services) == {"debt": 8}
    advance(services, DAY)
    await buy(services, order_id="o-2")
    assert await balance(services) == {"active": 2}
    assert [entry[0] for entry in await statement(services)][-3:] == ["clawback", "earning", "recovery"]


async def test_a_repeated_return_counts_once(services: Services) -> None:
    await send_events(services, paid(services, line(quantity=2)))
    once, again = (returned(services, {"1": 1}, return_id="r-1") for _ in range(2))
    assert await send_events(services, once, again) == []
    assert await balance(services) == {"pending": 5}
    assert (
        await send_events(
            services, returned(services, return_id="rest"), returned(services, return_id="nothing")
        )
        == []
    )
    assert await send_events(services, returned(services, {"1": 1})) == ["not_bought"]
    assert await balance(services) == {}


async def test_returns_before_the_payment_count_up_to_what_was_bought(services: Services) -> None:
    early = returned(services, {"1": 5, "9": 1}, return_id="r-1")
    assert await send_events(services, early, paid(services, line("1"), line("2"))) == []
    assert await balance(services) == {"pending": 10}
    assert await send_events(services, returned(services, {"2": 1})) == [], "others can still come back"
    assert await balance(services) == {}


async def test_spent_points_go_back_to_the_newest_of_their_lots(services: Services) -> None:
    for order_id in ("old", "new"):
        await buy(services, order_id=order_id)
        advance(services, DAY)
    await spend(services, 16, "o-1")
    await send_events(services, paid(services, line(quantity=4)))
    assert await balance(services) == {"active": 4, "pending": 10}
    await send_events(services, returned(services, {"1": 2}, return_id="r-1"))
    assert await rows(services.db, "SELECT remaining FROM lots ORDER BY active_at") == [(2,), (10,)]
    assert await balance(services) == {"active": 12, "pending": 5}
    await send_events(services, cancelled(services))
    assert await balance(services) == {"active": 20}
    assert (await statement(services))[-2:] == [
        ("reinstatement", 8, 0, "return:r-1"),
        ("reinstatement", 8, 0, "cancelled:o-1"),
    ]
    assert await rows(services.db, "SELECT state, reinstated FROM holds") == [("captured", 16)]


async def test_lines_that_points_could_not_pay_give_no_points_back(services: Services) -> None:
    await buy(services, order_id="old")
    await spend(services, 9, "o-1")
    await send_events(services, paid(services, line("1"), line("2", promotion=True)))
    await send_events(services, returned(services, {"2": 1}))
    assert await balance(services) == {"active": 1, "pending": 10}
    await send_events(services, returned(services, {"1": 1}))
    assert await balance(services) == {"active": 10}


async def test_points_of_an_expired_lot_come_back_with_grace(services: Services) -> None:
    await buy(services, order_id="old")
    await spend(services, 6, "o-1")
    advance(services, YEAR)
    await send_events(services, cancelled(services))
    assert await balance(services) == {"active": 6}, "the other 4 have expired"
    (lot,) = await rows(services.db, "SELECT remaining, expired, expires_at FROM lots")
    assert lot == (6, 4, services.clock.now() + 10 * DAY)


async def test_spent_points_are_given_back_before_earned_ones_are_taken(services: Services) -> None:
    """The order was paid with the points that it earned itself: no debt stays."""
    await buy(services)
    await spend(services, 10, "o-1")
    await send_events(services, returned(services))
    assert await balance(services) == {}
    assert [entry[0] for entry in await statement(services)][-2:] == ["reinstatement", "clawback"]


async def test_a_cancelled_order_releases_its_open_hold_paid_or_not(services: Services) -> None:
    await buy(services, order_id="old")
    for order_id in ("o-1", "o-2"):
        await spend(services, 4, order_id, capture=False)
    await send_events(services, paid(services))
    assert await balance(services) == {"active": 2, "held": 8, "pending": 10}
    await send_events(services, cancelled(services), cancelled(services, "o-2"))
    assert await balance(services) == {"active": 10}
    assert await rows(services.db, "SELECT DISTINCT state FROM holds") == [("released",)]


async def test_points_captured_after_a_return_are_given_back(services: Services) -> None:
    await buy(services, order_id="old")
    hold_id = await spend(services, 10, "o-1", capture=False)
    await send_events(services, paid(services, line(quantity=2)), returned(services, {"1": 1}))
    assert await balance(services) == {"held": 10, "pending": 5}
    for _ in range(2):
        await close_holds(services, [HoldClosing(hold_id, "captured")])
        assert await balance(services) == {"active": 5, "pending": 5}
    (transactions,) = await rows(
        services.db,
        "SELECT count(DISTINCT CAST(xmin AS text)), count(*) FROM stored_entries"
        " WHERE kind IN ('capture', 'reinstatement')",
    )
    assert transactions == (1, 2), "no crash can come between the two"


async def test_spent_points_of_a_removed_review_become_debt(services: Services) -> None:
    await write_review(services)
    await settle_due(services, now=advance(services, DAY))
    await spend(services, 15)
    assert await send_events(services, review_removed(services, "r-1")) == []
    assert await balance(services) == {"debt": 15}
    assert await send_events(services, review_removed(services, "r-1")) == []
    await write_review(services, "r-2")
    await settle_due(services, now=advance(services, DAY))
    assert await balance(services) == {"active": 5}


async def test_expired_points_are_not_taken_again(services: Services) -> None:
    await buy(services)
    await spend(services, 3)
    advance(services, YEAR)
    await send_events(services, returned(services))
    assert await balance(services) == {"debt": 3}
    assert await send_events(services, cancelled(services)) == []
    assert await balance(services) == {"debt": 3}


async def test_points_due_while_they_shrink_are_settled_soon(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[object] = []

    async def ring(due: set[object]) -> None:
        rung.extend(due)

    await send_events(services, paid(services, line(quantity=2)), delivered(services))
    await services.post_commit.drain()
    monkeypatch.setattr(services.doorbell, "ring", ring)
    await send_events(services, returned(services, {"1": 1}))
    await services.post_commit.drain()
    assert rung == [services.clock.now()], "a settlement may have passed it by in the meantime"


@pytest.mark.parametrize("turn", range(4))
async def test_a_return_and_a_settlement_at_once_agree(
    services: Services, other: Services, turn: int
) -> None:
    orders = [f"o-{n}" for n in range(20)]
    bought: list[AnyEvent] = [paid(services, line(quantity=2), order_id=order) for order in orders]
    sent: list[AnyEvent] = [delivered(services, order) for order in orders]
    assert await send_events(services, *bought, *sent) == []
    back: list[AnyEvent] = [returned(services, {"1": 1}, order_id=order) for order in orders]
    work = [take_events(other, back), settle_due(services, now=services.clock.now())]
    await asyncio.gather(*(work if turn % 2 else work[::-1]))
    await settle_due(services, now=services.clock.now())
    assert await balance(services) == {"active": 100}


@pytest.mark.parametrize("turn", range(4))
async def test_two_returns_at_once_are_both_counted(services: Services, other: Services, turn: int) -> None:
    orders = [f"o-{n}" for n in range(10)]
    for order in orders:
        await buy(services, line("1"), line("2"), order_id=order)
    await spend(services, 150, "o-0")
    first: list[AnyEvent] = [returned(services, {"1": 1}, order_id=order) for order in orders]
    second: list[AnyEvent] = [returned(services, {"2": 1}, order_id=order) for order in reversed(orders)]
    await asyncio.gather(take_events(services, first), take_events(other, second))
    assert await balance(services) == {}
    assert await rows(services.db, "SELECT sum(taken_back) FROM credits WHERE state = 'reversed'") == [(200,)]


async def test_points_are_not_taken_back_before_they_became_active(
    services: Services, other: Services
) -> None:
    """Otherwise a report of an instant between the two would show negative points."""
    await buy(services)
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    async with asyncio.timeout(WITHIN_S):
        async with transaction(other.db) as conn:
            await lock_balances(conn, [(PROGRAM, "m-1")])
            taking = asyncio.create_task(take_events(services, [returned(services)]))
            while await rows(other.db, waiting) == [(0,)]:
                await asyncio.sleep(LOOK_AGAIN_S)
            advance(services, timedelta(seconds=2))
        await taking
    taken = await rows(services.db, "SELECT at FROM entries WHERE kind = 'clawback'")
    assert taken == [(services.clock.now(),)]


scenarios = st.lists(
    st.sampled_from(["pay", "deliver", "settle", "one", "other", "all", "cancel", "spend", "time"]),
    min_size=3,
    max_size=12,
)


@settings(max_examples=cases(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scenarios, st.integers(0, 10**6))
async def test_a_returned_order_leaves_nothing_whatever_happened_before(
    services: Services, steps: list[str], number: int
) -> None:
    member, order = f"scenario-{new_id()}", f"o-{number}"
    of: dict[str, Any] = {"order_id": order, "member_id": member}
    await join(services, member)
    for step in [*steps, "pay", "all", "settle"]:
        match step:
            case "pay":
                await send_events(
                    services, paid(services, line("1", 3333, 3), line("2", 700, tag_points=5), **of)
                )
            case "deliver":
                await send_events(services, delivered(services, **of))
            case "settle":
                await settle_due(services, now=advance(services, 2 * DAY))
            case "one" | "other":
                await send_events(services, returned(services, {"1" if step == "one" else "2": 1}, **of))
            case "all":
                await send_events(services, returned(services, **of))
            case "cancel":
                await send_events(services, cancelled(services, **of))
            case "spend":
                active = (await balance(services, member)).get("active", 0)
                if active > 1:
                    await spend(services, active // 2, order, member_id=member)
            case _:
                advance(services, DAY)
    assert await balance(services, member) == {}


@pytest.mark.parametrize("turn", range(4))
async def test_a_capture_and_a_return_at_once_agree(services: Services, other: Services, turn: int) -> None:
    orders = [f"o-{n}" for n in range(10)]
    await buy(services, line(paid=20_000), order_id="old")
    hold_ids = [await spend(services, 10, order, capture=False) for order in orders]
    bought: list[AnyEvent] = [paid(services, line(quantity=2), order_id=order) for order in orders]
    back: list[AnyEvent] = [returned(services, {"1": 1}, order_id=order) for order in orders]
    await send_events(services, *bought)
    work = [
        take_events(services, back),
        *(close_holds(other, [HoldClosing(hold_id, "captured")]) for hold_id in hold_ids),
    ]
    await asyncio.gather(*(work if turn % 2 else work[::-1]))
    assert await balance(services) == {"active": 150, "pending": 50}


@pytest.mark.parametrize("others", [{"1": 2}, {"2": 1}, {"1": 1, "2": 1}, None])
async def test_another_parcel_under_a_known_return_id_is_refused(
    services: Services, others: dict[str, int] | None
) -> None:
    two = [line(str(n), 1000, quantity=3) for n in (1, 2)]
    assert await send_events(services, paid(services, *two)) == []
    assert await send_events(services, returned(services, {"1": 1}, return_id="r-1")) == []
    taken = await take_events(services, [returned(services, others, return_id="r-1")])
    assert [(refused.code, refused.facts) for refused in taken.refused.values()] == [
        ("id_reused", {"field": "return_id"})
    ]
    same = returned(services, {"1": 1}, return_id="r-1")
    assert await send_events(services, same) == []
    assert await send_events(services, returned(services, others)) == []
