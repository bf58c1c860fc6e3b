"""Settlement: never early, never twice, by any number of workers, with removals in between."""

import asyncio
import random
from collections import Counter
from datetime import timedelta

import msgspec
import pytest
from arq import Retry
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from engage.clock import MachineClock
from engage.domain.activity import AnyActivity
from engage.flows.activities.activity import RecordedActivity
from engage.flows.activities.record import record
from engage.flows.scheduled import settle
from engage.flows.scheduled.settle import settle_due, settle_once, settle_together
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.ledger import settle as ledger
from engage.runtime.services import Services
from engage.settings import Settings
from engage.signals.doorbell import tick_of
from tests.support.activities import (
    act,
    join,
    link,
    perform,
    review,
    review_removed,
    services_with_activities,
    share_removed,
    social,
    tap,
)
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, FIVE_MINUTES, NOON, LyingClock, advance
from tests.support.database import rows
from workers import jobs

MOMENT = timedelta(microseconds=1)


async def states(services: Services) -> dict[object, object]:
    found = await rows(services.db, "SELECT state, count(*) FROM credits WHERE points > 0 GROUP BY 1")
    return {row[0]: row[1] for row in found}


async def test_nothing_is_active_before_it_is_due(services: Services) -> None:
    await join(services)
    await perform(services, link())
    assert await settle_due(services, now=NOON + FIVE_MINUTES - MOMENT) == 0
    assert await settle_due(services, now=NOON + FIVE_MINUTES) == 4
    assert await states(services) == {"active": 4, "pending": 1}
    active = await rows(services.db, "SELECT DISTINCT active_at FROM credits WHERE state = 'active'")
    assert active == [(NOON + FIVE_MINUTES,)]
    assert await settle_due(services, now=NOON + DAY) == 1
    assert await settle_due(services, now=NOON + DAY) == 0
    await assert_audit_is_clean(services)


async def test_a_worker_whose_clock_is_a_day_ahead_activates_nothing_early(settings: Settings) -> None:
    real = msgspec.structs.replace(settings, sandbox=None)
    async with (
        services_with_activities(real, MachineClock()) as right,
        services_with_activities(real, LyingClock(timedelta(hours=25))) as wrong,
    ):
        await join(right)
        assert await settle_due(wrong, now=wrong.clock.now()) == 0
        assert await settle_together(wrong, tick=1, settlers=0) == 0
        assert await states(right) == {"pending": 1}
        await perform(wrong, link())
        late = "SELECT count(*) FROM credits WHERE accepted_at > clock_timestamp()"
        assert await rows(right.db, late) == [(0,)], "accepted by the database's clock"


async def test_no_credit_can_be_active_before_it_was_accepted(services: Services) -> None:
    await join(services)
    early = text(
        "UPDATE credits SET state = 'active', active_at = accepted_at - interval '1 ms', due_at = NULL"
    )
    with pytest.raises(IntegrityError, match="credits_active_check"):
        async with services.db.begin() as conn:
            await conn.execute(early)


async def test_a_doorbell_that_rings_early_rings_again_at_the_tick(services: Services) -> None:
    await join(services)
    tick = tick_of(services.clock.wall() + timedelta(seconds=9))
    with pytest.raises(Retry) as again:
        await jobs.settle({"services": services}, tick)
    assert again.value.defer_score is not None
    assert 8_000 < again.value.defer_score <= 9_250


async def test_points_expire_by_their_due_time_however_late_the_settlement(
    services: Services,
) -> None:
    await join(services)
    await settle_due(services, now=NOON + 3 * DAY)
    found = await rows(services.db, "SELECT active_at, expires_at FROM lots")
    assert found == [(NOON + 3 * DAY, NOON.replace(year=2027) + FIVE_MINUTES)]


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_many_workers_settle_each_credit_once(
    services: Services, other: Services, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(settle, "CREDITS_PER_BATCH", batch)
    monkeypatch.setattr(ledger.settle_batch, "__kwdefaults__", {"on_time": False, "batch": batch})
    members = [f"m-{n}" for n in range(25)]
    for member in members:
        await join(services, member)
    await record(
        services, [act(services, activity, m) for m in members for activity in (tap(), link(), social())]
    )
    now = advance(services, FIVE_MINUTES)
    settled = await asyncio.gather(*(settle_due(process, now=now) for process in (services, other) * 4))
    # A batch may be short while another worker has locked some of the rows.
    settled.append(await settle_due(services, now=now))
    assert sum(settled) == 25 * 5
    assert await states(services) == {"active": 25 * 5, "pending": 25 * 3}
    await assert_audit_is_clean(services)


async def test_workers_share_a_settlement_and_settle_everything(services: Services) -> None:
    await join(services)
    advance(services, FIVE_MINUTES)
    assert await settle_together(services, tick=1, settlers=4) == 1
    await assert_audit_is_clean(services)


@pytest.mark.parametrize("seed", range(3))
async def test_a_removal_and_a_settlement_at_once_agree(
    services: Services, other: Services, seed: int
) -> None:
    chance = random.Random(seed)
    members = [f"m-{n}" for n in range(30)]
    for member in members:
        await join(services, member)
    for n in range(3):
        await record(services, [act(services, review(f"p-{n}", f"r-{n}"), m) for m in members])
        await record(services, [act(services, link(f"s-{n}"), m) for m in members])
    now = advance(services, FIVE_MINUTES)
    removals: list[AnyEvent] = [review_removed(services, f"r-{n}", m) for m in members for n in range(3)]
    removals += [share_removed(services, f"s-{n}", m) for m in members for n in range(2)]
    chance.shuffle(removals)
    work = [take_events(each, removals[n::6]) for n, each in enumerate((services, other) * 3)]
    settling = [settle_once(process, now=now) for process in (services, other) * 4]
    both = [*work, *settling]
    chance.shuffle(both)
    await asyncio.gather(*both)
    await settle_due(services, now=now + DAY)
    await assert_audit_is_clean(services)
    left = await rows(
        services.db,
        "SELECT count(*) FROM credits WHERE state <> 'reversed' AND (reference LIKE 'review:%' "
        "OR reference IN ('share:s-0', 'share:s-1'))",
    )
    assert left == [(0,)]


async def test_credits_arrive_while_others_are_settled_and_taken_back(
    services: Services, other: Services
) -> None:
    members = [f"m-{n}" for n in range(8)]
    for member in members:
        await join(services, member)
    chance = random.Random(5)
    answers: Counter[str] = Counter()

    async def earn(each: Services, turn: int) -> None:
        activities: list[AnyActivity] = [tap(), link(f"s-{turn}"), social(), review(f"p-{turn}", f"r-{turn}")]
        acts = [act(each, activity, m) for m in members for activity in activities]
        chance.shuffle(acts)
        for answer in await record(each, acts):
            answers[type(answer).__name__ if isinstance(answer, RecordedActivity) else str(answer)] += 1

    async def take(each: Services, turn: int) -> None:
        await take_events(each, [review_removed(each, f"r-{turn - 1}", m) for m in members])

    async def settle_all(process: Services) -> None:
        await settle_due(process, now=process.clock.now() + timedelta(hours=1))

    for turn in range(6):
        processes = (services, other) * 3
        await asyncio.gather(
            *(earn(process, turn) for process in processes),
            *(take(process, turn) for process in processes),
            *(settle_all(process) for process in processes),
        )
        advance(services, timedelta(hours=6))
    assert set(answers) <= {"RecordedActivity", "already_tapped", "limit_reached", "already_rewarded"}
    await settle_due(services, now=services.clock.now() + 2 * DAY)
    await assert_audit_is_clean(services)
