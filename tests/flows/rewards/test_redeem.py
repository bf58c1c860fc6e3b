"""Points are redeemed for coupons and F-codes, within stock and limits."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from engage.domain.money import Money
from engage.domain.refusals import Refusal
from engage.flows.programs.publish import publish
from engage.flows.rewards.catalogue import RewardView, read_catalogue
from engage.flows.rewards.coupons import read_coupons, redeem_f_code
from engage.flows.rewards.redeem import RewardRequest, redeem
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.checkout import (
    DOCUMENT,
    SPENDING,
    balance,
    close_hold,
    hold_request,
    member_with_points,
    place_hold,
    redeem_reward,
    refusal_codes,
    services_with_checkout,
)
from tests.support.clock import DAY, NOON, advance, stopped_clock
from tests.support.database import rows


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_checkout(settings) as opened:
        yield opened
        await assert_audit_is_clean(opened)


async def catalogue(services: Services, member_id: str = "m-1") -> dict[str, RewardView]:
    return {reward.id: reward for reward in await read_catalogue(services, SPENDING, member_id)}


async def refused(services: Services, reward_id: str, member_id: str = "m-1") -> Refusal:
    with pytest.raises(Refusal) as found:
        await redeem_reward(services, reward_id, member_id)
    return found.value


async def test_each_redemption_gives_a_coupon_with_a_new_code(services: Services) -> None:
    await member_with_points(services, 300)
    first, second = [await redeem_reward(services, "one_euro") for _ in range(2)]
    assert (first.points, first.issued.value) == (100, Money(100, "EUR"))
    assert (first.issued.issued_at, first.issued.expires_at) == (NOON, NOON + 10 * DAY)
    assert first.issued.code != second.issued.code
    assert await balance(services) == (100, 0, 0)
    found = await rows(
        services.db, "SELECT kind, active_delta, house_account FROM entries WHERE kind = 'redemption'"
    )
    assert found == [("redemption", -100, "redeemed")] * 2
    kept = await rows(services.db, "SELECT id, purpose, state, points FROM holds ORDER BY id")
    assert kept == [
        (redemption.redemption_id, "redemption", "captured", 100) for redemption in (first, second)
    ]


async def test_the_catalogue_lists_rewards_with_stock_and_limits(services: Services) -> None:
    await member_with_points(services, 300)
    before = await catalogue(services)
    assert list(before) == ["one_euro", "scarce", "monthly", "ever", "phone_first"], "nothing suspended"
    assert (before["one_euro"].stock, before["one_euro"].limit) == (None, None)
    assert before["one_euro"].value == Money(100, "EUR")
    assert before["monthly"].min_order == Money(1000, "EUR")
    assert (before["phone_first"].kind, before["phone_first"].product_id) == ("f_code", "phone")
    limits = [limit for name in ("monthly", "ever") if (limit := before[name].limit) is not None]
    madrid = datetime(2026, 11, 30, 23, tzinfo=UTC)
    assert [(limit.remaining, limit.resets_at) for limit in limits] == [(1, madrid), (1, None)]
    for reward_id in ("scarce", "monthly", "ever"):
        await redeem_reward(services, reward_id)
    after = await catalogue(services)
    assert (before["scarce"].stock, after["scarce"].stock) == (3, 2)
    left = [limit.remaining for name in ("monthly", "ever") if (limit := after[name].limit)]
    assert left == [0, 0]


@pytest.mark.parametrize("reward_id", ["nothing", "gone"])
async def test_a_reward_outside_the_catalogue_is_unknown(services: Services, reward_id: str) -> None:
    await member_with_points(services, 100)
    found = await refused(services, reward_id)
    assert (found.code, found.status) == ("unknown_reward", 404)


async def test_a_reward_that_costs_more_than_the_balance_is_refused(services: Services) -> None:
    await member_with_points(services, 100)
    await place_hold(services, hold_request(points=10))
    assert (await refused(services, "one_euro")).facts == {"active": 90, "points": 100}
    assert (await redeem_reward(services, "phone_first")).points == 50


async def test_a_monthly_limit_resets_and_a_lifetime_limit_does_not(services: Services) -> None:
    await member_with_points(services, 100)
    await redeem_reward(services, "monthly")
    await redeem_reward(services, "ever")
    monthly = await refused(services, "monthly")
    assert (monthly.code, monthly.status) == ("limit_reached", 409)
    assert monthly.facts["resets_at"] == datetime(2026, 11, 30, 23, tzinfo=UTC), "in Madrid"
    stopped_clock(services).at = datetime(2026, 11, 30, 23, tzinfo=UTC)
    await redeem_reward(services, "monthly")
    ever = await refused(services, "ever")
    assert (ever.code, ever.status, ever.facts["limit"]) == ("reward_limit_reached", 409, 1)


async def test_a_sold_out_reward_is_sold_out_for_every_member(services: Services) -> None:
    for n in range(2):
        await member_with_points(services, 200, f"m-{n}")
    answers = await redeem(services, [RewardRequest(SPENDING, f"m-{n % 2}", "scarce") for n in range(4)])
    assert refusal_codes(answers) == ["sold_out"]
    assert (await catalogue(services, "m-0"))["scarce"].stock == 0
    assert [await balance(services, f"m-{n}") for n in range(2)] == [(0, 0, 0), (100, 0, 0)]


async def test_a_stock_counts_rewards_issued_before_it_existed(services: Services) -> None:
    await member_with_points(services, 500)
    for _ in range(2):
        await redeem_reward(services, "one_euro")
    limited = DOCUMENT.replace('version = "first"', 'version = "second"').replace(
        'id = "one_euro"', 'id = "one_euro"\nstock = 3'
    )
    later = limited.replace("in_force_from = 2020-01-01", "in_force_from = 2026-11-22")
    await publish(services.db, later, source="later", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    advance(services, DAY)
    assert (await catalogue(services))["one_euro"].stock == 1
    await redeem_reward(services, "one_euro")
    assert (await refused(services, "one_euro")).code == "sold_out"


async def test_redemptions_in_a_batch_see_each_other(services: Services) -> None:
    await member_with_points(services, 100)
    names = ["monthly", "monthly", "ever", "one_euro", "phone_first", "phone_first"]
    answers = await redeem(services, [RewardRequest(SPENDING, "m-1", name) for name in names])
    found = [answer.code if isinstance(answer, Refusal) else "" for answer in answers]
    assert found == ["", "limit_reached", "", "insufficient_points", "", "insufficient_points"]
    assert await balance(services) == (30, 0, 0)


async def test_coupons_are_listed_newest_first_with_their_current_state(services: Services) -> None:
    await member_with_points(services, 600)
    made = [(await redeem_reward(services, name)).issued.code for name in ("one_euro", "one_euro", "ever")]
    await close_hold(
        services, await place_hold(services, hold_request("o-1", coupon_codes=made[:1])), "captured"
    )
    await place_hold(services, hold_request("o-2", coupon_codes=made[2:]))

    async def listed(state: Any = None, limit: int = 10, before: Any = None) -> list[Any]:
        return await read_coupons(services, SPENDING, "m-1", state=state, before=before, limit=limit)

    shown = await listed()
    assert [(coupon.code, coupon.state, coupon.order_id) for coupon in shown] == [
        (made[2], "applied", "o-2"),
        (made[1], "issued", None),
        (made[0], "used", "o-1"),
    ]
    assert shown[0].title == "Once"
    assert [coupon.code for coupon in await listed("used")] == made[:1]
    first = await listed(limit=2)
    assert [one.code for one in await listed(before=first[-1].id)] == made[:1]
    advance(services, 11 * DAY)
    assert [one.code for one in await listed("expired")] == made[1:2], "without any sweep"
    assert await listed("issued") == []


async def test_an_f_code_is_redeemed_once(services: Services) -> None:
    await member_with_points(services, 100)
    code = (await redeem_reward(services, "phone_first")).issued.code
    used = await redeem_f_code(services, SPENDING, code.lower(), product_id="phone", order_id="o-1")
    assert (used.state, used.order_id) == ("used", "o-1")
    closed = await rows(services.db, "SELECT closed_at FROM coupons WHERE code = :code", code=code)
    assert [tuple(row) for row in closed] == [(NOON,)]
    assert await redeem_f_code(services, SPENDING, code, product_id="phone", order_id="o-1") == used
    with pytest.raises(Refusal, match="coupon_closed"):
        await redeem_f_code(services, SPENDING, code, product_id="phone", order_id="o-2")


@pytest.mark.parametrize(
    ("reward_id", "product_id", "reasons"),
    [("phone_first", "band", ["excluded_products"]), ("ever", "phone", ["coupon"])],
)
async def test_an_f_code_is_valid_for_its_product_only(
    services: Services, reward_id: str, product_id: str, reasons: list[str]
) -> None:
    await member_with_points(services, 100)
    code = (await redeem_reward(services, reward_id)).issued.code
    with pytest.raises(Refusal) as found:
        await redeem_f_code(services, SPENDING, code, product_id=product_id, order_id="o-1")
    assert (found.value.code, found.value.facts["reasons"]) == ("coupon_not_applicable", reasons)
