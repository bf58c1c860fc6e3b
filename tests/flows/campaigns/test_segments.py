"""Campaigns for segments: whoever was in the segment at the time of the activity gets what they add."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.segments import lists
from engage.store.segments.segments import SegmentKey
from tests.support.campaigns import approve, boost, document
from tests.support.clock import DAY, advance, running_clock
from tests.support.database import rows
from tests.support.programs import services_with
from tests.support.segments import define, put, put_text
from tests.support.tiers import PROGRAM, join, paid, review, send, services_with_tiers, shown

TICK = timedelta(microseconds=1)
_products = count(1)
LOYAL = {"segments": ["loyal"]}


def for_segments(*ids: str, **fields: Any) -> dict[str, Any]:
    return document(
        "double", boosts=[boost("review", multiply=2)], audience={"segments": list(ids), **fields}
    )


async def is_boosted(services: Services, member_id: str = "m-1", at: datetime | None = None) -> bool:
    """Let a member write a review of a new product. Tell whether a campaign adds to it."""
    number = f"p-{next(_products)}"
    return ("review", 20, "points", "more") in shown(await review(services, number, member_id, at))


async def listed(services: Services, *member_ids: str, segment_id: str = "loyal") -> datetime:
    return (await put(services, member_ids, segment_id, program=PROGRAM)).since


async def computed(services: Services, segment_id: str = "loyal", **conditions: Any) -> datetime:
    return (await define(services, conditions, segment_id, program=PROGRAM)).since


async def test_a_member_is_boosted_while_in_the_list(services: Services, other: Services) -> None:
    await approve(services, for_segments("loyal"))
    assert not await is_boosted(services)
    began = await listed(services, "m-1")
    assert await is_boosted(services)
    assert not await is_boosted(other, "m-2")
    assert not await is_boosted(other, at=began - TICK)
    advance(services, DAY)
    ended = await listed(services, "m-2")
    for process in (services, other):
        assert not await is_boosted(process)
        assert await is_boosted(process, "m-2")
        # What is told late is judged by the list of its time.
        assert await is_boosted(process, at=ended - TICK)
        assert not await is_boosted(process, "m-2", at=ended - TICK)


async def test_one_of_several_segments_is_enough(services: Services) -> None:
    await approve(services, for_segments("loyal", "fans", "nowhere"))
    await listed(services, "m-1", segment_id="fans")
    await computed(services, tiers=["gold"])
    assert await is_boosted(services)
    assert not await is_boosted(services, "m-2")
    await send(services, paid(services, "o-1", 300_00, member_id="m-2"))
    assert await is_boosted(services, "m-2")


async def test_a_computed_segment_is_judged_by_the_facts_at_the_time(
    services: Services, other: Services
) -> None:
    await approve(services, for_segments("loyal"))
    await computed(services, no_order_for="P30D")
    began = services.clock.now()
    for process in (services, other):
        assert await is_boosted(process)
    await send(services, paid(services, "o-1", 1_00))
    advance(services, DAY)
    for process in (services, other):
        assert not await is_boosted(process)
        assert await is_boosted(process, at=began)
        assert await is_boosted(process, "m-2")


async def test_conditions_are_those_in_force_at_the_time(services: Services, other: Services) -> None:
    await approve(services, for_segments("loyal"))
    first = await computed(services, first_order=True)
    assert await is_boosted(services)
    second = await computed(services, tiers=["gold"])
    third = await listed(services, "m-1")
    fourth = await computed(services, first_order=True)
    for process in (services, other):
        found = [
            (await is_boosted(process, at=at), await is_boosted(process, "m-2", at=at))
            for since in (first, second, third, fourth)
            for at in (since - TICK, since)
        ]
        assert found == [
            *((False, False), (True, True)),
            *((True, True), (False, False)),
            *((False, False), (True, False)),
            *((True, False), (True, True)),
        ]


async def test_other_conditions_of_the_audience_hold_too(services: Services) -> None:
    await approve(services, for_segments("loyal", tiers=["gold"]))
    await listed(services, "m-1")
    assert not await is_boosted(services)
    await send(services, paid(services, "o-1", 300_00))
    assert await is_boosted(services)
    assert not await is_boosted(services, "m-2")


async def test_an_order_is_boosted_by_the_list_at_its_payment(services: Services) -> None:
    campaign = document("double", boosts=[boost("purchase", multiply=2)], audience=LOYAL)
    await approve(services, campaign)
    before = services.clock.now()
    await listed(services, "m-1")
    now = services.clock.now()
    events = [
        paid(services, f"{member_id}-{name}", 100_00, member_id=member_id, at=at)
        for member_id in ("m-1", "m-2")
        for name, at in (("before", before), ("now", now))
    ]
    await send(services, *events)
    found = await rows(services.db, "SELECT source_key FROM credits WHERE boost = 'more'")
    assert found == [("order:m-1-now:purchase+double",)]


async def test_a_segment_goes_with_a_merger_and_ends_with_an_erasure(
    services: Services, other: Services
) -> None:
    await approve(services, for_segments("loyal"))
    await listed(services, "m-1")
    at = services.clock.now()
    await merge_members(services, PROGRAM, "m-1", into="m-2", reason="one", operator="key")
    await other.members.refresh(other.db)
    for process in (services, other):
        assert await is_boosted(process, "m-2")
        assert await is_boosted(process, "m-2", at=at)
    await erase_member(services, PROGRAM, "m-2", operator="key")
    assert await rows(services.db, "SELECT * FROM segment_members") == []


@pytest.mark.parametrize("seed", range(5))
async def test_random_lists_and_conditions_are_exact_at_every_instant(
    services: Services, other: Services, seed: int
) -> None:
    """A plain model keeps each definition with its beginning, and decides about activities of any time."""
    chance = random.Random(seed)
    await approve(services, for_segments("a", "b"))
    await join(services, "m-3")
    members = ["m-1", "m-2", "m-3"]
    defined: list[tuple[datetime, str, set[str]]] = []
    began = services.clock.now()
    for _ in range(25):
        segment_id = chance.choice("ab")
        chosen = set(chance.sample(members, chance.randrange(4)))
        if chance.random() < 0.4:
            country = chance.choice([{"countries": ["IN"]}, {"countries": ["IN"], "tiers": ["gold"]}])
            since = await computed(services, segment_id, **country)
            chosen = set(members) if "tiers" not in country else set()
        else:
            since = await listed(services, *chosen, segment_id=segment_id)
        defined.append((since, segment_id, chosen))
        advance(services, chance.choice([timedelta(0), timedelta(seconds=1), DAY]))
        for _ in range(3):
            member_id, process = chance.choice(members), chance.choice([services, other])
            past = (services.clock.now() - began) * chance.choice([0, 0, chance.random()])
            instants = [
                services.clock.now() - past,
                chance.choice(defined)[0] - chance.choice([TICK, 0 * TICK]),
            ]
            for at in instants:
                newest = {id_: found for since, id_, found in defined if since <= at}
                expected = any(member_id in found for found in newest.values())
                assert await is_boosted(process, member_id, at=at) == expected


@pytest.fixture
async def running(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Services]]:
    """Two processes whose clock runs, with two members. A list takes some time to commit."""
    write = lists.write

    async def slowly(conn: AsyncConnection, key: SegmentKey, *, at: datetime) -> None:
        await write(conn, key, at=at)
        await conn.execute(text("SELECT pg_sleep(0.3)"))

    monkeypatch.setattr(lists, "write", slowly)
    async with (
        services_with_tiers(settings, clock=running_clock()) as first,
        services_with(settings, clock=running_clock()) as second,
    ):
        await join(first, "m-1")
        await join(first, "m-2")
        yield [first, second]


async def test_each_credit_of_two_processes_is_explained_by_the_list_at_its_instant(
    running: list[Services],
) -> None:
    """Lists change while members go on."""
    first, _ = running
    await approve(first, for_segments("loyal"))
    over = asyncio.Event()

    async def go_on(process: Services, member_id: str) -> None:
        while not over.is_set():
            await is_boosted(process, member_id)

    going = [
        asyncio.create_task(go_on(process, member_id)) for process in running for member_id in ("m-1", "m-2")
    ]
    for listed_now in (b"m-1\n", b"m-2\n", b"m-1\nm-2\n"):
        changed = await put_text(first, listed_now, program=PROGRAM)
        await asyncio.sleep((changed.since - first.clock.now()).total_seconds() + 0.2)
    over.set()
    await asyncio.gather(*going)
    found = await rows(
        first.db,
        """
        SELECT c.member_id, s.member_id IS NOT NULL AS is_listed, b.id IS NOT NULL AS is_boosted, count(*)
        FROM credits c
        LEFT JOIN segment_members s ON s.member_id = c.member_id AND s.since <= c.activity_at
             AND (s.until IS NULL OR s.until > c.activity_at)
        LEFT JOIN credits b ON b.member_id = c.member_id AND b.source_key = c.source_key || '+double'
        WHERE c.rule_id = 'review' AND c.boost IS NULL
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
    )
    assert [row[:3] for row in found] == [
        ("m-1", False, False),
        ("m-1", True, True),
        ("m-2", False, False),
        ("m-2", True, True),
    ]
