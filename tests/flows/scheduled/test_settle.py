"""Settlement: never early, never twice, by any number of workers, with removals in between."""

import asyncio
import random
from collections import Counter
from datetime import timedelta

import pytest

from engage.domain.activity import AnyActivity
from engage.flows.activities.record import Recorded, record
from engage.flows.scheduled import settle
from engage.flows.scheduled.settle import settle_due, settle_once, settle_together
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.ledger import settle as ledger
from engage.runtime.services import Parts
from tests.support.audit import broken
from tests.support.playing import (
    DAY,
    FIVE_MINUTES,
    NOON,
    act,
    advance,
    do,
    join,
    link,
    review,
    review_removed,
    rows,
    share_removed,
    social,
    tap,
)

MOMENT = timedelta(microseconds=1)


async def states(parts: Parts) -> dict[object, object]:
    found = await rows(parts.db, "SELECT state, count(*) FROM credits WHERE points > 0 GROUP BY 1")
    return {row[0]: row[1] for row in found}


async def test_nothing_is_active_before_it_is_due(parts: Parts) -> None:
    await join(parts)
    await do(parts, link())
    assert await settle_due(parts, now=NOON + FIVE_MINUTES - MOMENT) == 0
    assert await settle_due(parts, now=NOON + FIVE_MINUTES) == 4
    assert await states(parts) == {"active": 4, "pending": 1}
    active = await rows(parts.db, "SELECT DISTINCT active_at FROM credits WHERE state = 'active'")
    assert active == [(NOON + FIVE_MINUTES,)]
    assert await settle_due(parts, now=NOON + DAY) == 1
    assert await settle_due(parts, now=NOON + DAY) == 0
    assert await broken(parts) == []


async def test_points_end_when_their_due_time_says_however_late_the_settlement(parts: Parts) -> None:
    await join(parts)
    await settle_due(parts, now=NOON + 3 * DAY)
    found = await rows(parts.db, "SELECT active_at, expires_at FROM lots")
    assert found == [(NOON + 3 * DAY, NOON.replace(year=2027) + FIVE_MINUTES)]


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_many_workers_settle_each_credit_once(
    parts: Parts, other: Parts, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(settle, "CREDITS_PER_BATCH", batch)
    monkeypatch.setattr(ledger.settle_batch, "__kwdefaults__", {"on_time": False, "batch": batch})
    members = [f"m-{n}" for n in range(25)]
    for member in members:
        await join(parts, member)
    await record(parts, [act(parts, activity, m) for m in members for activity in (tap(), link(), social())])
    now = advance(parts, FIVE_MINUTES)
    settled = await asyncio.gather(*(settle_due(each, now=now) for each in (parts, other) * 4))
    # A batch may come back short when another worker holds some of the rows; nothing is forgotten.
    settled.append(await settle_due(parts, now=now))
    assert sum(settled) == 25 * 5
    assert await states(parts) == {"active": 25 * 5, "pending": 25 * 3}
    assert await broken(parts) == []


async def test_workers_that_help_each_other_settle_everything(parts: Parts) -> None:
    await join(parts)
    advance(parts, FIVE_MINUTES)
    assert await settle_together(parts, tick=1, settlers=4) == 1
    assert await broken(parts) == []


@pytest.mark.parametrize("seed", range(3))
async def test_a_removal_and_a_settlement_at_once_agree(parts: Parts, other: Parts, seed: int) -> None:
    chance = random.Random(seed)
    members = [f"m-{n}" for n in range(30)]
    for member in members:
        await join(parts, member)
    for n in range(3):
        await record(parts, [act(parts, review(f"p-{n}", f"r-{n}"), m) for m in members])
        await record(parts, [act(parts, link(f"s-{n}"), m) for m in members])
    now = advance(parts, FIVE_MINUTES)
    removals: list[AnyEvent] = [review_removed(parts, f"r-{n}", m) for m in members for n in range(3)]
    removals += [share_removed(parts, f"s-{n}", m) for m in members for n in range(2)]
    chance.shuffle(removals)
    work = [take_events(each, removals[n::6]) for n, each in enumerate((parts, other) * 3)]
    settling = [settle_once(each, now=now) for each in (parts, other) * 4]
    both = [*work, *settling]
    chance.shuffle(both)
    await asyncio.gather(*both)
    await settle_due(parts, now=now + DAY)
    assert await broken(parts) == []
    left = await rows(
        parts.db,
        "SELECT count(*) FROM credits WHERE state <> 'reversed' AND (reference LIKE 'review:%' "
        "OR reference IN ('share:s-0', 'share:s-1'))",
    )
    assert left == [(0,)]


async def test_credits_arrive_while_others_are_settled_and_taken_back(parts: Parts, other: Parts) -> None:
    members = [f"m-{n}" for n in range(8)]
    for member in members:
        await join(parts, member)
    chance = random.Random(5)
    answers: Counter[str] = Counter()

    async def earn(each: Parts, turn: int) -> None:
        activities: list[AnyActivity] = [tap(), link(f"s-{turn}"), social(), review(f"p-{turn}", f"r-{turn}")]
        acts = [act(each, activity, m) for m in members for activity in activities]
        chance.shuffle(acts)
        for answer in await record(each, acts):
            answers[type(answer).__name__ if isinstance(answer, Recorded) else str(answer)] += 1

    async def take(each: Parts, turn: int) -> None:
        await take_events(each, [review_removed(each, f"r-{turn - 1}", m) for m in members])

    async def settle_all(each: Parts) -> None:
        await settle_due(each, now=each.clock.now() + timedelta(hours=1))

    for turn in range(6):
        each = (parts, other) * 3
        await asyncio.gather(
            *(earn(e, turn) for e in each), *(take(e, turn) for e in each), *(settle_all(e) for e in each)
        )
        advance(parts, timedelta(hours=6))
    assert set(answers) <= {"Recorded", "already_tapped", "limit_reached", "already_rewarded"}
    await settle_due(parts, now=parts.clock.now() + 2 * DAY)
    assert await broken(parts) == []
