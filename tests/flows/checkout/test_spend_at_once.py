"""Two processes compete for the same points, coupons and holds: each is spent once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from engage.domain.refusals import Refusal
from engage.flows.checkout.checkout_hold import CheckoutHold
from engage.flows.checkout.close_holds import (
    ClosedHold,
    HoldClosing,
    HoldOutcome,
    close_holds,
    release_overdue,
)
from engage.flows.checkout.hold import hold
from engage.flows.rewards.coupons import expire_coupons
from engage.flows.rewards.redeem import Redemption, RewardRequest, redeem
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.checkout import (
    HOLD_FOR,
    SPENDING,
    balance,
    hold_request,
    member_with_points,
    place_hold,
    redeem_reward,
    refusal_codes,
    services_with_checkout,
)
from tests.support.database import rows

AT_ONCE = 20


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_checkout(settings) as opened:
        yield opened


@pytest.fixture
async def both(settings: Settings, services: Services) -> AsyncIterator[list[Services]]:
    """Two processes with the same servers and clock, and separate caches and connections."""
    async with services_with_checkout(settings, services.clock) as other:
        yield [services, other]
        for process in (services, other):
            await process.post_commit.drain()
        await assert_audit_is_clean(services)


async def at_once(calls: list[Any]) -> list[Any]:
    """Run calls of one request each; return their answers."""
    return [answer for (answer,) in await asyncio.gather(*calls)]


async def test_points_are_spent_once_however_many_ask(both: list[Services]) -> None:
    await member_with_points(both[0], 300)
    answers = await at_once([hold(both[n % 2], [hold_request(f"o-{n}", points=300)]) for n in range(AT_ONCE)])
    won = [answer for answer in answers if isinstance(answer, CheckoutHold)]
    assert len(won) == 1
    assert refusal_codes(answers) == ["insufficient_points"] * (AT_ONCE - 1)
    assert await balance(both[0]) == (0, 300, 0)
    await at_once([close_holds(both[0], [HoldClosing(won[0].hold_id, "released")])])


async def test_all_points_are_spent_and_none_twice(both: list[Services]) -> None:
    await member_with_points(both[0], 1_000)
    spends: list[Any] = [hold(both[n % 2], [hold_request(f"o-{n}", points=90)]) for n in range(AT_ONCE)]
    spends += [redeem(both[n % 2], [RewardRequest(SPENDING, "m-1", "one_euro")]) for n in range(AT_ONCE)]
    answers = await at_once(spends)
    spent = sum(answer.points for answer in answers if not isinstance(answer, Exception))
    assert await balance(both[0]) == (1_000 - spent, *(await balance(both[0]))[1:])
    assert 1_000 - spent < 90
    assert set(refusal_codes(answers)) == {"insufficient_points"} or set(refusal_codes(answers)) == {
        "insufficient_points",
        "below_minimum",
    }
    await at_once(
        [
            close_holds(both[0], [HoldClosing(answer.hold_id, "captured")])
            for answer in answers
            if isinstance(answer, CheckoutHold)
        ]
    )


async def test_an_order_gets_one_hold_however_many_ask(both: list[Services]) -> None:
    await member_with_points(both[0], 300)
    answers = await at_once([hold(both[n % 2], [hold_request(points=100)]) for n in range(AT_ONCE)])
    assert len({answer.hold_id for answer in answers}) == 1
    assert await balance(both[0]) == (200, 100, 0)
    await at_once([close_holds(both[0], [HoldClosing(answers[0].hold_id, "captured")])])


async def test_a_coupon_is_applied_to_one_order(both: list[Services]) -> None:
    await member_with_points(both[0], 100)
    code = (await redeem_reward(both[0], "one_euro")).issued.code
    answers = await at_once(
        [hold(both[n % 2], [hold_request(f"o-{n}", coupon_codes=[code])]) for n in range(AT_ONCE)]
    )
    assert Counter(isinstance(answer, CheckoutHold) for answer in answers) == {True: 1, False: AT_ONCE - 1}
    assert refusal_codes(answers) == ["coupon_not_applicable"] * (AT_ONCE - 1)


async def test_a_stock_is_never_exceeded(both: list[Services]) -> None:
    members = [await member_with_points(both[0], 200, f"m-{n}") for n in range(AT_ONCE)]
    calls = [redeem(both[n % 2], [RewardRequest(SPENDING, m, "scarce")]) for n, m in enumerate(members)]
    answers = await at_once(calls)
    assert Counter(isinstance(answer, Redemption) for answer in answers) == {True: 3, False: AT_ONCE - 3}
    assert refusal_codes(answers) == ["sold_out"] * (AT_ONCE - 3)
    assert await rows(both[0].db, "SELECT issued FROM reward_stock") == [(3,)]
    assert len({answer.issued.code for answer in answers if isinstance(answer, Redemption)}) == 3


async def test_a_members_limit_is_never_exceeded(both: list[Services]) -> None:
    await member_with_points(both[0], 1_000)
    answers = await at_once(
        [
            redeem(both[n % 2], [RewardRequest(SPENDING, "m-1", ("ever", "monthly")[n // 2 % 2])])
            for n in range(AT_ONCE)
        ]
    )
    won = [answer.issued.reward_id for answer in answers if isinstance(answer, Redemption)]
    assert sorted(won) == ["ever", "monthly"]
    assert set(refusal_codes(answers)) == {"limit_reached", "reward_limit_reached"}


@pytest.mark.parametrize("late", [False, True], ids=["in time", "as its time ends"])
async def test_a_hold_has_one_outcome(both: list[Services], late: bool) -> None:
    """Capture, release and time-out compete."""
    await member_with_points(both[0], 300)
    placed = [await place_hold(both[0], hold_request(f"o-{n}", points=50)) for n in range(6)]
    now = both[0].clock.now() + HOLD_FOR
    outcomes: tuple[HoldOutcome, ...] = ("captured", "released")
    closings = [
        close_holds(both[n % 2], [HoldClosing(held.hold_id, outcome)])
        for n, (held, outcome) in enumerate((held, outcome) for held in placed for outcome in outcomes)
    ]
    sweeps = [release_overdue(process, now=now) for process in both] if late else []
    closed, _ = await asyncio.gather(asyncio.gather(*closings), asyncio.gather(*sweeps))
    answers = [answer for (answer,) in closed]
    for captured, released in zip(answers[::2], answers[1::2], strict=True):
        assert isinstance(captured, ClosedHold) != isinstance(released, ClosedHold), "whichever was first"
        lost = released if isinstance(captured, ClosedHold) else captured
        assert isinstance(lost, Refusal)
        assert lost.code == "hold_closed"
    spent = 50 * sum(isinstance(captured, ClosedHold) for captured in answers[::2])
    assert await balance(both[0]) == (300 - spent, 0, 0)


async def test_concurrent_sweeps_release_each_hold_once(both: list[Services]) -> None:
    for n in range(8):
        await member_with_points(both[0], 100, f"m-{n}")
        await redeem_reward(both[0], "ever", f"m-{n}")
        await place_hold(both[0], hold_request(f"o-{n}", f"m-{n}", points=90))
    now = both[0].clock.now() + timedelta(days=12)
    done = await asyncio.gather(*(release_overdue(both[n % 2], now=now) for n in range(4)))
    assert sum(done) == 8
    assert await rows(both[0].db, "SELECT sum(held) FROM balances") == [(0,)]
    await asyncio.gather(*(expire_coupons(both[n % 2], now=now) for n in range(4)))
