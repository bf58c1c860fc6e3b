"""The sandbox's clock: it only advances, and all work on the way is done in order before it answers."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.refusals import Refusal, Unavailable
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.operations.audit import audit
from engage.flows.reads.home import read_home
from engage.flows.scheduled import advance_clock as advancing
from engage.flows.scheduled import due_work
from engage.flows.scheduled.advance_clock import advance_clock
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.take_events import take_events
from engage.runtime.due_work import DueWork
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support import orders
from tests.support.activities import (
    PROGRAM,
    join,
    link,
    perform,
    review,
    review_removed,
    services_with_activities,
    social,
    tap,
)
from tests.support.clock import DAY, FIVE_MINUTES, running_clock
from tests.support.database import rows
from tests.support.holds import hold, spend
from tests.support.processor import processor_seconds


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Services with a running clock, as in a sandbox."""
    async with services_with_activities(settings, running_clock()) as opened:
        yield opened


async def activated(services: Services) -> list[tuple[datetime, datetime]]:
    """Return (due, active) of all active credits, in the order of the statement."""
    times = await rows(
        services.db,
        "SELECT c.due_at, c.active_at FROM credits c JOIN entries e ON e.credit_id = c.id ORDER BY e.seq",
    )
    return [
        (due, active) for due, active in times if isinstance(due, datetime) and isinstance(active, datetime)
    ]


async def test_work_is_done_in_order_and_at_the_very_instant_it_is_due(
    services: Services, settings: Settings
) -> None:
    await join(services)
    for activity in (tap(), link(), social(), review("a", "r-1"), review("b", "r-2")):
        await perform(services, activity)
    began = services.clock.now()
    now = await advance_clock(services, by=timedelta(days=2))
    assert now >= began + timedelta(days=2)
    found = await activated(services)
    assert len(found) == 10
    assert [due for due, _ in found] == sorted(due for due, _ in found)
    assert all(active == due for due, active in found)
    assert await rows(services.db, "SELECT count(*) FROM outbox") == [(0,)], "and published"
    assert (await audit(settings)).broken == []


async def test_the_clock_advances_to_the_requested_time(services: Services) -> None:
    target = services.clock.now() + 400 * DAY
    assert timedelta() <= await advance_clock(services, to=target) - target < timedelta(seconds=10)
    assert timedelta() <= services.clock.now() - target < timedelta(seconds=10)


async def test_the_clock_does_not_go_back(services: Services) -> None:
    await advance_clock(services, by=DAY)
    before = services.clock.now()
    for wrong in ({"to": before - timedelta(minutes=1)}, {"by": -timedelta(seconds=5)}):
        with pytest.raises(Refusal) as refused:
            await advance_clock(services, **wrong)
        assert (refused.value.code, refused.value.status) == ("clock_backwards", 409)
    assert services.clock.now() >= before


async def test_other_processes_follow_the_clock(services: Services, settings: Settings) -> None:
    await advance_clock(services, by=10 * DAY)
    assert settings.sandbox is not None
    async with services_with_activities(settings, running_clock()) as other:
        await other.follow_clock()
        assert abs(other.clock.now() - services.clock.now()) < timedelta(seconds=1)


async def test_two_advances_at_once_do_all_work_once(services: Services, settings: Settings) -> None:
    for n in range(10):
        await join(services, f"m-{n}")
        await perform(services, link(), f"m-{n}")
    began = services.clock.now()
    await asyncio.gather(*(advance_clock(services, by=timedelta(minutes=4)) for _ in range(3)))
    assert services.clock.now() >= began + timedelta(minutes=12)
    found = await activated(services)
    assert len(found) == 40
    assert all(active == due for due, active in found)
    assert (await audit(settings)).broken == []


async def test_an_advance_that_fails_on_the_way_has_done_nothing_ahead_of_the_clock(
    services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = services.clock.now()
    await join(services)
    await perform(services, tap())
    fails_at = began + 30 * DAY

    async def next_at(conn: AsyncConnection, *, after: datetime) -> datetime | None:
        return fails_at if after < fails_at else None

    async def fail(services: Services, *, now: datetime, on_time: bool) -> int:
        if now < fails_at:
            return 0
        raise Unavailable("postgres")

    with monkeypatch.context() as patched:
        failing = DueWork(name="failing", next_at=next_at, do=fail)
        for module in (due_work, advancing):
            patched.setattr(module, "DUE_WORK", (*due_work.DUE_WORK, failing))
        with pytest.raises(Unavailable):
            await advance_clock(services, by=400 * DAY)
    ((ahead,),) = await rows(services.db, "SELECT ahead FROM sandbox_clock")
    ((last,),) = await rows(services.db, "SELECT max(at) FROM entries")
    assert isinstance(ahead, timedelta)
    assert isinstance(last, datetime)
    assert began + FIVE_MINUTES <= last <= services.clock.wall() + ahead < began + 400 * DAY
    await perform(services, link())
    await advance_clock(services, by=400 * DAY)
    await assert_in_order(services, settings)


async def test_two_advances_of_two_processes_at_once_go_as_far_as_the_further_one(
    services: Services, settings: Settings
) -> None:
    async with services_with_activities(settings, running_clock()) as others:
        began = services.clock.now()
        await advance_clock(services, to=began + 3 * DAY)
        assert await advance_clock(others, to=began + 1 * DAY) >= began + 3 * DAY


async def test_work_that_a_worker_is_doing_is_awaited(services: Services) -> None:
    await join(services)
    before = await rows(services.db, "SELECT ahead FROM sandbox_clock")
    async with services.db.connect() as worker:
        await worker.execute(text("SELECT 1 FROM stored_credits WHERE state = 'pending' FOR UPDATE"))
        moving = asyncio.create_task(advance_clock(services, by=FIVE_MINUTES))
        while await rows(services.db, "SELECT ahead FROM sandbox_clock") == before:
            await asyncio.sleep(0.01)
        done, _ = await asyncio.wait([moving], timeout=0.2)
        assert not done
        await worker.rollback()
    await moving
    assert await rows(services.db, "SELECT active, pending FROM balances") == [(50, 0)]


async def test_a_worker_settles_by_the_same_clock(services: Services, settings: Settings) -> None:
    await join(services)
    async with services_with_activities(settings, running_clock()) as worker:
        assert await settle_due(worker, now=worker.clock.now()) == 0
        await advance_clock(services, by=FIVE_MINUTES - timedelta(seconds=30))
        await worker.follow_clock()
        assert await settle_due(worker, now=worker.clock.now()) == 0
        await advance_clock(services, by=timedelta(seconds=30))
        assert await rows(services.db, "SELECT active FROM balances") == [(50,)]


async def test_changes_due_long_ago_are_published_at_once(services: Services) -> None:
    await join(services)
    await perform(services, tap())
    await advance_clock(services, by=100 * DAY)
    assert await rows(services.db, "SELECT count(*) FROM outbox") == [(0,)]


YEAR = 366 * DAY
MOMENT = timedelta(microseconds=1)


async def statement(services: Services, member_id: str = "m-1") -> list[tuple[object, ...]]:
    """Return (kind, points, at) of a member's entries, in the order in which they were written."""
    return await rows(
        services.db,
        "SELECT kind, active_delta, at FROM entries WHERE member_id = :member ORDER BY seq",
        member=member_id,
    )


async def ends_of(services: Services, member_id: str = "m-1") -> datetime:
    """Return the first end of the member's points, active or pending."""
    ((end,),) = await rows(
        services.db, "SELECT min(expires_at) FROM credits WHERE member_id = :member", member=member_id
    )
    assert isinstance(end, datetime)
    return end


async def assert_in_order(services: Services, settings: Settings) -> None:
    """Check that entries are in order of time, and that the audit finds nothing."""
    disordered = await rows(
        services.db,
        """
        SELECT * FROM (
            SELECT member_id, seq, kind, at, lag(at) OVER (PARTITION BY member_id ORDER BY seq) AS before
            FROM entries
        ) e WHERE at < before
        """,
    )
    assert disordered == []
    assert (await audit(settings)).broken == []


async def test_points_become_active_and_expire_in_one_advance(services: Services, settings: Settings) -> None:
    await join(services)
    ((due, ends),) = await rows(services.db, "SELECT due_at, expires_at FROM credits")
    await advance_clock(services, by=YEAR + DAY)
    assert await statement(services) == [("earning", 50, due), ("expiration", -50, ends)]
    assert await rows(services.db, "SELECT active, pending FROM balances") == [(0, 0)]
    assert await rows(services.db, "SELECT count(*) FROM outbox") == [(0,)], "and published"
    await assert_in_order(services, settings)


async def test_points_expire_when_the_clock_shows_their_time(services: Services) -> None:
    await join(services)
    ends = await ends_of(services)
    await advance_clock(services, to=ends - timedelta(minutes=1))
    assert await rows(services.db, "SELECT active FROM balances") == [(50,)]
    await advance_clock(services, to=ends)
    assert await rows(services.db, "SELECT active FROM balances") == [(0,)]


async def test_points_activated_after_an_expiration_stand_after_it(
    services: Services, settings: Settings
) -> None:
    for member in ("m-1", "m-2", "m-3"):
        await join(services, member)
    await advance_clock(services, by=FIVE_MINUTES)
    ends = {member: await ends_of(services, member) for member in ("m-1", "m-2")}
    await advance_clock(services, to=ends["m-1"] - timedelta(minutes=4))
    await perform(services, tap(), "m-1")
    await perform(services, social(), "m-1")
    await perform(services, tap(), "m-2")
    await advance_clock(services, by=YEAR + 3 * DAY)
    for member, points in (("m-1", [2, 2, 5, 1]), ("m-2", [2])):
        found = await statement(services, member)
        assert [row[:2] for row in found] == [
            ("earning", 50),
            ("expiration", -50),
            *(("earning", amount) for amount in points),
            *(("expiration", -amount) for amount in points),
        ]
        assert found[1][2] == ends[member]
    await assert_in_order(services, settings)


async def test_an_expired_hold_gives_back_points_that_expire_later(
    services: Services, settings: Settings
) -> None:
    await join(services)
    await advance_clock(services, by=FIVE_MINUTES)
    now = services.clock.now()
    await hold(services, 30, now=now)
    ends = await ends_of(services)
    await advance_clock(services, by=YEAR + DAY)
    assert (await statement(services))[1:] == [
        ("hold", -30, now),
        ("release", 30, now + timedelta(minutes=30)),
        ("expiration", -50, ends),
    ]
    await assert_in_order(services, settings)


async def test_an_expired_hold_gives_back_expired_points_that_expire_at_once(
    services: Services, settings: Settings
) -> None:
    await join(services)
    await advance_clock(services, by=FIVE_MINUTES)
    ends = await ends_of(services)
    await advance_clock(services, to=ends - timedelta(minutes=10))
    now = services.clock.now()
    await hold(services, 30, now=now)
    await perform(services, tap())
    await advance_clock(services, by=DAY)
    later = now + timedelta(minutes=30)
    kinds = [row[:2] for row in (await statement(services))[2:]]
    assert kinds == [("earning", 2), ("expiration", -20), ("release", 30), ("expiration", -30)]
    assert [at for *_, at in (await statement(services))[3:]] == [ends, later, later]
    assert await rows(services.db, "SELECT active, held FROM balances") == [(2, 0)]
    await assert_in_order(services, settings)


async def test_debt_is_paid_before_the_rest_expires(services: Services, settings: Settings) -> None:
    await join(services)
    await perform(services, review("band", "r-1"))
    await advance_clock(services, by=FIVE_MINUTES)
    assert await spend(services, 70, now=services.clock.now()) == 70
    await take_events(services, [review_removed(services, "r-1")])
    assert await rows(services.db, "SELECT active, debt FROM balances") == [(0, 20)]
    await perform(services, review("watch", "r-2"))
    await perform(services, social())
    await advance_clock(services, by=YEAR + 2 * DAY)
    found = await statement(services)
    assert [row[:2] for row in found[4:]] == [
        ("earning", 20),
        ("recovery", -20),
        ("earning", 5),
        ("earning", 1),
        ("expiration", -5),
        ("expiration", -1),
    ]
    assert found[4][2] == found[5][2]
    assert await rows(services.db, "SELECT active, debt FROM balances") == [(0, 0)]
    await assert_in_order(services, settings)


@pytest.mark.parametrize("seed", range(4))
async def test_entries_are_in_order_of_time_whatever_happens_on_the_way(
    services: Services, settings: Settings, seed: int
) -> None:
    chance = random.Random(seed)
    members = ["m-1", "m-2", "m-3"]
    for member in members:
        await join(services, member)
    jumps = [timedelta(minutes=7), timedelta(hours=5), 2 * DAY, 170 * DAY, YEAR - timedelta(minutes=4)]
    for turn in range(15):
        for member in chance.sample(members, 2):
            await perform(services, review(f"p-{turn}", f"r-{turn}"), member)
        member = chance.choice(members)
        match chance.randrange(4):
            case 0:
                await spend(services, chance.randrange(1, 60), member, now=services.clock.now())
            case 1:
                await _hold_some(services, member, chance)
            case 2:
                await take_events(
                    services, [review_removed(services, f"r-{chance.randrange(turn + 1)}", member)]
                )
        await advance_clock(services, by=chance.choice(jumps))
    await advance_clock(services, by=2 * YEAR)
    assert await rows(services.db, "SELECT sum(active), sum(pending), sum(held) FROM balances") == [(0, 0, 0)]
    await assert_in_order(services, settings)


async def _hold_some(services: Services, member: str, chance: random.Random) -> None:
    """Hold points for an hour, a month or more than a year."""
    home = await read_home(services, PROGRAM, member)
    if home.balance.active:
        ttl = chance.choice([timedelta(hours=1), 30 * DAY, YEAR + DAY])
        await hold(services, min(home.balance.active, 30), member, now=services.clock.now(), ttl=ttl)


async def test_a_year_with_ten_thousand_credits_passes_in_seconds(
    services: Services, settings: Settings
) -> None:
    members = [f"m-{n}" for n in range(100)]
    for member in members:
        await join(services, member)
    began = await advance_clock(services, by=FIVE_MINUTES)
    # Each credit is earned at a different instant, so that no two expire together.
    for turn in range(100):
        acts = [
            MemberActivity(
                PROGRAM, member, review(f"p-{turn}", f"r-{turn}"), began - (turn * 100 + n) * 300 * MOMENT
            )
            for n, member in enumerate(members)
        ]
        await record(services, acts)
    for member in members[:20]:
        await hold(services, 30, member, now=began, ttl=timedelta(days=10 + int(member[2:])))
    loop = asyncio.get_running_loop()
    left_at = loop.time()
    with processor_seconds(20):
        await advance_clock(services, by=YEAR + DAY)
    assert loop.time() - left_at < 30.0
    found = await rows(services.db, "SELECT kind, count(*) FROM entries GROUP BY 1 ORDER BY 1")
    assert found == [("earning", 10_100), ("expiration", 10_100), ("hold", 20), ("release", 20)]
    assert await rows(services.db, "SELECT DISTINCT active, pending FROM balances") == [(0, 0)]
    await assert_in_order(services, settings)


async def test_a_delivery_that_is_reported_late_makes_no_entry_of_the_past(settings: Settings) -> None:
    """Its points are due in the past; a statement that was read meanwhile goes on after its last line."""
    async with orders.services_with_orders(settings, running_clock()) as services:
        await orders.join(services)
        await orders.send_events(services, orders.paid(services))
        long_ago = services.clock.now()
        await advance_clock(services, by=timedelta(hours=5))
        await orders.write_review(services)
        await advance_clock(services, by=timedelta(hours=1))
        await orders.send_events(services, orders.delivered(services, at=long_ago))
        await advance_clock(services, by=timedelta(minutes=1))
        times = await rows(services.db, "SELECT at FROM entries ORDER BY seq")
        assert len(times) == 2
        assert times == sorted(times)
        assert (await audit(settings)).broken == []
