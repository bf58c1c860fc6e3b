"""Members who wait for a scarce reward get the pieces that are there again, in their order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from engage.domain.refusals import Refusal
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.programs.publish import publish
from engage.flows.rewards.catalogue import RewardView, read_catalogue
from engage.flows.rewards.redeem import RewardRequest, redeem
from engage.flows.rewards.waiting import WaitingPlace, serve_waiting, wait_for_reward
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.checkout import (
    DOCUMENT,
    SPENDING,
    member_with_points,
    redeem_reward,
    services_with_checkout,
)
from tests.support.clock import DAY, advance
from tests.support.database import rows

MEMBERS = [f"m-{n}" for n in range(1, 5)]


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Four members, the first of whom has all three pieces of the scarce reward."""
    async with services_with_checkout(settings) as opened:
        for member_id in MEMBERS:
            await member_with_points(opened, 500, member_id)
        for _ in range(3):
            await redeem_reward(opened, "scarce", "m-1")
        yield opened
        await assert_audit_is_clean(opened)


async def wait(services: Services, member_id: str, reward_id: str = "scarce") -> WaitingPlace:
    return await wait_for_reward(services, SPENDING, member_id, reward_id)


async def shown(services: Services, member_id: str) -> RewardView:
    catalogue = await read_catalogue(services, SPENDING, member_id)
    return next(reward for reward in catalogue if reward.id == "scarce")


async def position(services: Services, member_id: str) -> int | None:
    waiting = (await shown(services, member_id)).waiting
    return None if waiting is None else waiting.position


async def add_pieces(services: Services, stock: int) -> None:
    """Publish a version with a larger stock, which is in force the next day."""
    later = DOCUMENT.replace('version = "first"', f'version = "with-{stock}"')
    later = later.replace("stock = 3", f"stock = {stock}").replace(
        "in_force_from = 2020-01-01", "in_force_from = 2026-11-22"
    )
    await publish(services.db, later, source="later", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    await serve_waiting(services, now=advance(services, DAY))


async def can_redeem(services: Services, member_id: str) -> bool:
    """Redeem the scarce reward; return whether it was not sold out."""
    (answer,) = await redeem(services, [RewardRequest(SPENDING, member_id, "scarce")])
    assert not isinstance(answer, Refusal) or answer.code == "sold_out"
    return not isinstance(answer, Refusal)


async def test_a_member_keeps_the_position_however_often_they_ask(services: Services) -> None:
    assert [(await wait(services, member_id)).position for member_id in ("m-2", "m-3", "m-2")] == [1, 2, 1]
    assert (await shown(services, "m-3")).waiting == WaitingPlace(2, None)
    assert (await shown(services, "m-4")).waiting is None


async def test_pieces_are_kept_for_the_first_in_line(services: Services) -> None:
    await wait(services, "m-2")
    await wait(services, "m-3")
    await add_pieces(services, 4)
    until = services.clock.now() + DAY
    assert (await shown(services, "m-2")).waiting == WaitingPlace(1, until)
    assert (await shown(services, "m-3")).waiting == WaitingPlace(2, None)
    assert [(await shown(services, member_id)).stock for member_id in ("m-2", "m-3", "m-4")] == [1, 0, 0]
    assert [await can_redeem(services, member_id) for member_id in ("m-4", "m-3", "m-2")] == [
        False,
        False,
        True,
    ]
    assert await position(services, "m-2") is None
    assert await position(services, "m-3") == 1, "the next one"


async def test_others_get_what_is_left_beyond_those_who_wait(services: Services) -> None:
    await wait(services, "m-2")
    await add_pieces(services, 5)
    assert [await can_redeem(services, member_id) for member_id in ("m-4", "m-4", "m-2")] == [
        True,
        False,
        True,
    ]


async def test_a_turn_that_passes_goes_to_the_next(services: Services) -> None:
    await wait(services, "m-2")
    await wait(services, "m-3")
    await add_pieces(services, 4)
    await serve_waiting(services, now=advance(services, DAY - timedelta(seconds=1)))
    assert await position(services, "m-2") == 1
    await serve_waiting(services, now=advance(services, timedelta(seconds=1)))
    assert await position(services, "m-2") is None
    assert (await shown(services, "m-3")).waiting == WaitingPlace(1, services.clock.now() + DAY)
    assert (await wait(services, "m-2")).position == 2, "at the end, again"
    assert await can_redeem(services, "m-3")


async def test_who_waits_although_there_are_pieces_has_a_turn_at_once(services: Services) -> None:
    assert await wait(services, "m-2", "one_euro") == WaitingPlace(1, services.clock.now() + DAY)


async def test_nobody_waits_for_what_is_not_in_the_catalogue(services: Services) -> None:
    for reward_id in ("nothing", "gone"):
        with pytest.raises(Refusal) as refused:
            await wait(services, "m-2", reward_id)
        assert refused.value.code == "unknown_reward"


async def test_twenty_members_who_come_at_once_have_twenty_positions(
    services: Services, settings: Settings
) -> None:
    async with services_with_checkout(settings, clock=services.clock) as other:
        await asyncio.gather(
            *(wait((services, other)[n % 2], MEMBERS[n % 4]) for n in range(20)), return_exceptions=False
        )
    found = [await position(services, member_id) for member_id in MEMBERS]
    assert sorted(place for place in found if place is not None) == [1, 2, 3, 4]


async def test_redemptions_at_once_keep_to_the_line(services: Services, settings: Settings) -> None:
    await wait(services, "m-2")
    await add_pieces(services, 4)
    async with services_with_checkout(settings, clock=services.clock) as other:
        got = await asyncio.gather(*(can_redeem((services, other)[n % 2], MEMBERS[n % 4]) for n in range(20)))
    assert got.count(True) == 1
    assert got[1::4].count(True) == 1, "only m-2 has got it"


async def test_a_merged_member_waits_at_the_better_place_and_an_erased_one_no_more(
    services: Services,
) -> None:
    for member_id in ("m-2", "m-3", "m-4"):
        await wait(services, member_id)
    await merge_members(services, SPENDING, "m-2", into="m-4", reason="one", operator="key-1")
    assert [await position(services, member_id) for member_id in ("m-4", "m-3")] == [1, 2]
    await erase_member(services, SPENDING, "m-4", operator="key-1")
    assert await position(services, "m-3") == 1
    assert await rows(services.db, "SELECT member_id FROM reward_waiting") == [("m-3",)]
