"""Two accounts with random activities are merged: the audit is clean, and no point is lost."""

import random

import pytest

from engage.domain.activity import AnyActivity
from engage.flows.activities.record import record
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import (
    PROGRAM,
    act,
    join,
    link,
    review,
    review_removed,
    services_with_activities,
    share_removed,
    signed_in,
    social,
    tap,
)
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, advance
from tests.support.database import rows

MEMBERS = ("m-1", "m-2")


async def play_days(services: Services, chance: random.Random, *, days: int) -> None:
    """Random activities of both members on each day, with removals by the shop."""
    for _ in range(days):
        for member_id in MEMBERS:
            shares = [f"s-{chance.randrange(12)}" for _ in range(3)]
            activities: list[AnyActivity] = [
                tap(),
                link(shares[0]),
                link(),
                social(shares[1]),
                social(),
                review(f"p-{chance.randrange(6)}", f"r-{chance.randrange(12)}"),
            ]
            chosen = chance.sample(activities, chance.randrange(len(activities) + 1))
            await record(services, [act(services, activity, member_id) for activity in chosen])
            if chance.random() < 0.4:
                await take_events(
                    services,
                    [
                        signed_in(services, member_id),
                        review_removed(services, f"r-{chance.randrange(12)}", member_id),
                        share_removed(services, shares[2], member_id),
                    ],
                )
        await settle_due(services, now=advance(services, DAY * chance.choice([0.4, 1, 1, 1, 2])))


async def total(services: Services) -> int:
    ((points,),) = await rows(
        services.db, "SELECT CAST(sum(active + pending + held - debt) AS int) FROM balances"
    )
    assert isinstance(points, int)
    return points


@pytest.mark.parametrize("seed", range(6))
async def test_a_merger_of_two_random_accounts_keeps_every_point(settings: Settings, seed: int) -> None:
    chance = random.Random(seed)
    async with services_with_activities(settings) as services:
        for member_id in MEMBERS:
            await join(services, member_id)
        await play_days(services, chance, days=6)
        before = await total(services)
        await merge_members(services, PROGRAM, "m-1", into="m-2", reason="one", operator="key-1")
        assert await total(services) == before
        await assert_audit_is_clean(services)
        await play_days(services, chance, days=4)
        assert await rows(services.db, "SELECT active + pending FROM balances WHERE member_id = 'm-1'") == [
            (0,)
        ]
        await assert_audit_is_clean(services)
        await erase_member(services, PROGRAM, "m-1", operator="key-1")
        assert await total(services) == 0
        await assert_audit_is_clean(services)
