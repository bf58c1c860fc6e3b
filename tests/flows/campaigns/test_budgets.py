"""A budget is never exceeded and used to the last point, however many take from it at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.budget import Wanted
from engage.domain.campaigns.definition import Budget, Campaign
from engage.flows.campaigns.budgets import fold_returns, publish_alerts, set_budget
from engage.runtime.budgets import give_back, take
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.campaigns.budgets import read_alerts, read_left
from tests.support.activities import PROGRAM, services_with_activities
from tests.support.clock import NOON
from tests.support.database import rows
from tests.support.eventually import WITHIN_S

SECOND = timedelta(seconds=1)

_ADD = text("""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, due_at, why, campaign, boost, beside)
VALUES (:program, :member, uuidv7(), :key, 'fuel', '1', :points, 'pending', :at, :at, :at, '{}',
        'spring', 'x', 'spring')
""")


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """A process whose books are the test's own: they need not add up."""
    async with services_with_activities(settings) as opened:
        yield opened


def campaign(id_: str = "spring", **budget: object) -> Campaign:
    return Campaign(
        id=id_,
        program=PROGRAM,
        title={"en": "Spring"},
        from_=datetime(2026, 3, 1, tzinfo=UTC),
        until=datetime(2027, 4, 1, tzinfo=UTC),
        budget=Budget(**budget),  # type: ignore[arg-type]  # The fields of a budget.
    )


def wanted(of: Campaign, points: int, member: int = 0, *, whole: bool = False) -> Wanted:
    return Wanted(of, (PROGRAM, f"m-{member}"), points, whole)


async def approve(services: Services, of: Campaign) -> None:
    async with transaction(services.db) as conn:
        await set_budget(conn, of)


async def left_of(services: Services, of: Campaign) -> int | None:
    async with transaction(services.db) as conn:
        return (await read_left(conn, [(of.program, of.id)]))[of.program, of.id].points


async def grant(services: Services, *credits: Wanted) -> list[int]:
    async with transaction(services.db) as conn:
        return await take(conn, credits, now=NOON)


class GaveUp(Exception):
    """A transaction that does not commit."""


@pytest.mark.parametrize("seed", range(4))
async def test_many_processes_grant_exactly_the_budget(
    services: Services, other: Services, seed: int
) -> None:
    choice = random.Random(seed)
    first, second = campaign("first", points=997), campaign("second", points=400, count=90)
    for each in (first, second):
        await approve(services, each)
    granted: dict[str, list[int]] = {"first": [], "second": []}

    at_once = asyncio.Semaphore(16)

    async def grant_some(opened: Services, credits: list[Wanted], gives_up: bool) -> None:
        with suppress(GaveUp):
            async with at_once, transaction(opened.db) as conn:
                points = await take(conn, credits, now=NOON)
                await asyncio.sleep(0)
                if gives_up:
                    raise GaveUp
            for credit, got in zip(credits, points, strict=True):
                granted[credit.campaign.id].append(got)

    turns = [
        grant_some(
            choice.choice((services, other)),
            [
                wanted(choice.choice((first, second)), choice.randint(1, 20))
                for _ in range(choice.randint(1, 4))
            ],
            choice.random() < 0.2,
        )
        for _ in range(160)
    ]
    await asyncio.wait_for(asyncio.gather(*turns), WITHIN_S)
    # What those who gave up held is there for the next ones.
    for each in (first, second):
        while got := (await grant(services, wanted(each, 7)))[0]:
            granted[each.id].append(got)
    assert sum(granted["first"]) == 997
    assert await left_of(services, first) == 0
    credits = [got for got in granted["second"] if got]
    assert sum(credits) == 400 or len(credits) == 90
    assert sum(credits) <= 400
    assert len(credits) <= 90


async def test_a_boost_is_cut_to_the_rest_and_a_rule_pays_whole(services: Services) -> None:
    spring = campaign(points=10)
    await approve(services, spring)
    assert await grant(services, wanted(spring, 7), wanted(spring, 5, whole=True)) == [7, 0]
    assert await grant(services, wanted(spring, 7), wanted(spring, 1)) == [3, 0]
    assert await left_of(services, spring) == 0


async def test_a_used_up_budget_makes_nobody_wait(services: Services, other: Services) -> None:
    spring = campaign(points=5)
    await approve(services, spring)
    assert await grant(services, wanted(spring, 5)) == [5]
    async with transaction(services.db) as holding:
        await take(holding, [wanted(spring, 1)], now=NOON)
        assert await asyncio.wait_for(grant(other, wanted(spring, 1)), WITHIN_S) == [0]


async def test_a_member_has_a_limit_also_in_two_requests_at_once(services: Services, other: Services) -> None:
    spring = campaign(points_per_member=25)
    await approve(services, spring)

    async def earn(opened: Services, number: int) -> None:
        async with transaction(opened.db) as conn:
            (points,) = await take(conn, [wanted(spring, 10, number % 2)], now=NOON)
            if points:
                await add_credit(conn, number % 2, number, points)

    await asyncio.wait_for(
        asyncio.gather(*(earn(services if n % 3 else other, n) for n in range(12))), WITHIN_S
    )
    sums = await rows(services.db, "SELECT member_id, sum(points) FROM credits GROUP BY 1 ORDER BY 1")
    assert sums == [("m-0", 25), ("m-1", 25)]


async def test_members_with_one_device_share_its_limit(services: Services, other: Services) -> None:
    spring = campaign(per_device=2)
    await approve(services, spring)
    async with transaction(services.db) as conn:
        for member in range(3):
            await conn.exec_driver_sql(
                "INSERT INTO member_traits VALUES ($1, $2, 'device', $3, $4)",
                (PROGRAM, f"m-{member}", b"phone", NOON),
            )

    async def earn(opened: Services, number: int) -> None:
        async with transaction(opened.db) as conn:
            (points,) = await take(conn, [wanted(spring, 10, number % 4)], now=NOON)
            if points:
                await add_credit(conn, number % 4, number, points)

    await asyncio.wait_for(
        asyncio.gather(*(earn(services if n % 3 else other, n) for n in range(16))), WITHIN_S
    )
    counted = "SELECT member_id = 'm-3', count(*) FROM credits GROUP BY 1 ORDER BY 1"
    # The fourth member has no device that is known, and counts as one.
    assert await rows(services.db, counted) == [(False, 2), (True, 2)]


async def test_what_comes_back_can_be_granted_again(services: Services) -> None:
    spring = campaign(points=10, count=2)
    await approve(services, spring)
    assert await grant(services, wanted(spring, 4), wanted(spring, 6)) == [4, 6]
    async with transaction(services.db) as conn:
        await give_back(conn, [((PROGRAM, "spring"), 6)], now=NOON)
    assert await grant(services, wanted(spring, 6)) == [0], "it is not back yet"
    assert await fold_returns(services, now=NOON, on_time=False) == 1
    assert await fold_returns(services, now=NOON, on_time=False) == 0
    assert await grant(services, wanted(spring, 7), wanted(spring, 1)) == [6, 0]


async def test_alerts_are_told_once(services: Services) -> None:
    spring = campaign(points=10, alerts=[50, 100])
    await approve(services, spring)
    await grant(services, wanted(spring, 4))
    assert await publish_alerts(services, now=NOON, on_time=False) == 0
    await grant(services, wanted(spring, 1))
    await grant(services, wanted(spring, 1))
    assert await publish_alerts(services, now=NOON + SECOND, on_time=False) == 1
    await grant(services, wanted(spring, 9))
    await grant(services, wanted(spring, 9))
    assert await publish_alerts(services, now=NOON + SECOND, on_time=False) == 1
    async with transaction(services.db) as conn:
        alerts = await read_alerts(conn, (PROGRAM, "spring"))
    assert [(alert.of, alert.percent, alert.total) for alert in alerts] == [
        ("points", 50, 10),
        ("points", 100, 10),
    ]


async def test_a_new_version_has_a_new_limit_and_what_was_used_stays_used(services: Services) -> None:
    await approve(services, campaign(points=10))
    assert await grant(services, wanted(campaign(points=10), 8)) == [8]
    await approve(services, campaign(points=30))
    assert await left_of(services, campaign()) == 22
    await approve(services, campaign(points=5))
    assert await left_of(services, campaign()) == 0
    await approve(services, campaign(points=20))
    assert await left_of(services, campaign()) == 12
    await approve(services, campaign())
    assert await left_of(services, campaign()) is None


async def add_credit(conn: AsyncConnection, member: int, key: int, points: int) -> None:
    values = {"program": PROGRAM, "member": f"m-{member}", "key": f"k-{key}", "points": points, "at": NOON}
    await conn.execute(_ADD, values)
