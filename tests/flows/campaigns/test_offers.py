"""Campaigns have other prices for rewards, for the members whom they are for and while pieces are left."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engage.domain.refusals import Refusal
from engage.flows.rewards.catalogue import RewardView, read_catalogue
from engage.flows.rewards.redeem import Redemption, RewardRequest, redeem
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.campaigns import act_on, approve, document
from tests.support.checkout import SPENDING, member_with_points, redeem_reward, services_with_checkout
from tests.support.database import rows
from tests.support.programs import services_with


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_checkout(settings) as opened:
        yield opened
        await assert_audit_is_clean(opened)


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    async with services_with(settings, clock=services.clock) as opened:
        yield opened


def sale(id_: str = "sale", *, audience: dict[str, Any] | None = None, **offer: Any) -> dict[str, Any]:
    offers = [{"reward": "one_euro"} | offer]
    return document(id_, program=SPENDING, offers=offers, audience=audience or {})


async def one_euro(services: Services) -> RewardView:
    found = await read_catalogue(services, SPENDING, "m-1", language="de")
    return next(reward for reward in found if reward.id == "one_euro")


async def test_the_catalogue_shows_the_price_now_and_the_usual_one(services: Services) -> None:
    await member_with_points(services, 300)
    assert ((await one_euro(services)).points, (await one_euro(services)).offer) == (100, None)
    await approve(services, sale(percent=25, stock=7))
    shown = await one_euro(services)
    assert shown.points == 75
    assert shown.offer is not None
    assert (shown.offer.campaign, shown.offer.usual_points, shown.offer.left) == ("sale", 100, 7)
    redemption = await redeem_reward(services, "one_euro")
    assert redemption.points == 75
    assert await rows(services.db, "SELECT points, campaign FROM coupons") == [(75, "sale")]
    after = (await one_euro(services)).offer
    assert after is not None
    assert after.left == 6


async def test_the_best_price_counts_and_a_worse_one_never(services: Services) -> None:
    await member_with_points(services, 300)
    await approve(services, sale("first", points=60))
    await approve(services, sale("second", points=40))
    await approve(services, sale("dear", points=400))
    assert (await redeem_reward(services, "one_euro")).points == 40
    await act_on(services, sale("second"), "paused")
    assert (await redeem_reward(services, "one_euro")).points == 60
    await act_on(services, sale("first"), "ended")
    assert (await redeem_reward(services, "one_euro")).points == 100


async def test_others_pay_the_usual_price(services: Services) -> None:
    await member_with_points(services, 300)
    await approve(services, sale(points=10, audience={"countries": ["FR"]}))
    assert (await one_euro(services)).offer is None
    assert (await redeem_reward(services, "one_euro")).points == 100


async def test_no_more_pieces_than_offered_have_the_price(services: Services, other: Services) -> None:
    await member_with_points(services, 5_000)
    await approve(services, sale(points=10, stock=5))
    await other.campaigns.refresh(other.db)
    request = RewardRequest(SPENDING, "m-1", "one_euro")
    batches = await asyncio.gather(*(redeem(services if n % 2 else other, [request] * 3) for n in range(6)))
    answers = [answer for batch in batches for answer in batch]
    assert not any(isinstance(answer, Refusal) for answer in answers)
    paid = sorted(answer.points for answer in answers if isinstance(answer, Redemption))
    assert paid == [10] * 5 + [100] * 13
    assert (await one_euro(services)).offer is None


async def test_a_price_that_the_member_cannot_pay_is_told(services: Services) -> None:
    await member_with_points(services, 0)
    await approve(services, sale(points=30))
    (answer,) = await redeem(services, [RewardRequest(SPENDING, "m-1", "one_euro")])
    assert isinstance(answer, Refusal)
    assert answer.facts == {"active": 0, "points": 30}
