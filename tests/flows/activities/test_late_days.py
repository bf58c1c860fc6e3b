"""A streak is the fold of its days: in whatever order they are accepted, the state is the same."""

import asyncio
from datetime import date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text

from engage.domain.earning.limits import StreakSlot
from engage.domain.earning.streak import Streak
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.operations.rebuild import rebuild
from engage.flows.reads.home import read_home
from engage.gate import keys
from engage.gate.client import SlotRequest
from engage.runtime.services import Services
from tests.support.activities import PROGRAM, join, tap
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, NOON, stopped_clock
from tests.support.crash import lose_publications
from tests.support.database import rows

MADRID = "Europe/Madrid"
_numbers = iter(range(1_000_000))


async def new_member(services: Services) -> str:
    member = f"late-{next(_numbers)}"
    stopped_clock(services).at = NOON
    await join(services, member)
    return member


async def tap_on(services: Services, member: str, day: int, *, crash: bool = False) -> RecordedActivity:
    """Tap on a day, counted from NOON's, in a process whose clock is at the last of the days or before."""
    stopped_clock(services).at = max(services.clock.now(), NOON + (day - 1) * DAY)
    (answer,) = await record(services, [MemberActivity(PROGRAM, member, tap(), NOON + day * DAY)])
    assert isinstance(answer, RecordedActivity), answer
    if crash:
        lose_publications(services)
    await services.post_commit.drain()
    return answer


async def gate_state(services: Services, member: str) -> list[keys.SlotRecord]:
    found = await services.gate.read(PROGRAM, member) or []
    return [record for record in found if record.kind == keys.STREAK]


async def home_days(services: Services, member: str) -> int:
    home = await read_home(services, PROGRAM, member)
    assert home.streak is not None
    return home.streak.days


async def bonuses(services: Services, member: str) -> list[str]:
    found = await rows(
        services.db,
        "SELECT source_key FROM credits WHERE member_id = :member AND rule_id = 'fuel_streak' ORDER BY 1",
        member=member,
    )
    return [str(key) for (key,) in found]


def run_of(days: set[int]) -> Streak:
    last = max(days)
    length = next(n for n in range(1, len(days) + 2) if last - n not in days)
    return Streak((NOON + last * DAY).date(), length, MADRID)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
async def test_any_order_of_days_leaves_the_same_streak(services: Services, data: st.DataObject) -> None:
    days = data.draw(st.sets(st.integers(0, 7), min_size=1, max_size=7), label="days")
    order = data.draw(st.permutations(sorted(days)), label="order")
    member = await new_member(services)
    for day in order:
        await tap_on(services, member, day, crash=data.draw(st.booleans(), label="crash"))
    run = run_of(days)
    stopped_clock(services).at = NOON + max(days) * DAY
    assert await home_days(services, member) == run.days
    expected = [keys.streak_record("fuel", (run.last_day - date(1970, 1, 1)).days, run.days, MADRID)]
    state = await gate_state(services, member)
    assert not state or state[0].unconfirmed or state == expected
    await services.gate.forget([(PROGRAM, member)])
    (again,) = await record(services, [MemberActivity(PROGRAM, member, tap(), NOON + max(days) * DAY)])
    assert not isinstance(again, RecordedActivity)
    assert await gate_state(services, member) == expected, "as the ledger loads it"
    following = await tap_on(services, member, max(days) + 1)
    assert following.streak is not None
    assert following.streak.days == run.days + 1


async def test_a_day_after_midnight_that_comes_first_does_not_end_a_long_run(services: Services) -> None:
    member = await new_member(services)
    for day in (*range(28), 29, 28):
        await tap_on(services, member, day)
    stopped_clock(services).at = NOON + 29 * DAY
    assert await home_days(services, member) == 30
    await rebuild(services)
    assert [state.value for state in await gate_state(services, member)] == [30]
    assert await home_days(services, member) == 30
    await assert_audit_is_clean(services)


@pytest.mark.parametrize("crash", [False, True])
async def test_the_bonus_of_a_run_that_is_completed_late_is_paid_once(
    services: Services, crash: bool
) -> None:
    member = await new_member(services)
    for day in (0, 2):
        await tap_on(services, member, day)
    assert await bonuses(services, member) == []
    await tap_on(services, member, 1, crash=crash)
    third = f"fuel_streak:{(NOON + 2 * DAY).date()}"
    assert await bonuses(services, member) == [third], "the third day in a row, which counted one"
    for day in (3, 4, 5):
        await tap_on(services, member, day)
    assert await bonuses(services, member) == [third, f"fuel_streak:{(NOON + 5 * DAY).date()}"]
    await assert_audit_is_clean(services)


async def test_days_of_two_processes_around_midnight_count_together(
    services: Services, other: Services
) -> None:
    """The first day is claimed and not accepted yet when the next day is accepted and confirmed."""
    member = await new_member(services)
    await tap_on(services, member, 0)
    midnight = datetime(2026, 11, 22, 23, tzinfo=NOON.tzinfo)
    moment = timedelta(milliseconds=1)
    await other.members.refresh(other.db)
    slot = StreakSlot("fuel", (NOON + DAY).date(), MADRID)
    await services.gate.claim([SlotRequest(PROGRAM, member, slot)])
    (after,) = await record(other, [MemberActivity(PROGRAM, member, tap(), midnight + moment)])
    await other.post_commit.drain()
    (before,) = await record(services, [MemberActivity(PROGRAM, member, tap(), midnight - moment)])
    await services.post_commit.drain()
    assert isinstance(after, RecordedActivity)
    assert isinstance(before, RecordedActivity)
    stopped_clock(services).at = midnight + moment
    assert await home_days(services, member) == 3
    assert (await tap_on(services, member, 3)).streak is not None
    stopped_clock(services).at = NOON + 3 * DAY
    assert await home_days(services, member) == 4


@pytest.mark.parametrize("first", ["day", "next day"])
async def test_the_bonus_of_two_days_that_are_accepted_at_once_is_paid(
    services: Services, other: Services, first: str
) -> None:
    """Neither process sees the other one's day: both wait for the balance when the days are accepted."""
    member = await new_member(services)
    await tap_on(services, member, 0)
    await other.members.refresh(other.db)
    midnight = datetime(2026, 11, 22, 23, tzinfo=NOON.tzinfo)
    moment = timedelta(milliseconds=1)
    stopped_clock(services).at = stopped_clock(other).at = midnight
    day = MemberActivity(PROGRAM, member, tap(), midnight - moment)
    next_day = MemberActivity(PROGRAM, member, tap(), midnight + moment)
    calls = [(services, day), (other, next_day)] if first == "day" else [(other, next_day), (services, day)]
    async with services.db.connect() as conn, conn.begin() as blocking:
        lock = text("SELECT FROM balances WHERE member_id = :member FOR UPDATE")
        await conn.execute(lock, {"member": member})
        waiting = []
        for process, activity in calls:
            waiting.append(asyncio.create_task(record(process, [activity])))
            await until_waiting(services, len(waiting))
            await services.gate.forget([(PROGRAM, member)])
        await blocking.rollback()
    for (answer,) in await asyncio.gather(*waiting):
        assert isinstance(answer, RecordedActivity), answer
    for process in (services, other):
        await process.post_commit.drain()
    assert await bonuses(services, member) == [f"fuel_streak:{(NOON + 2 * DAY).date()}"]
    stopped_clock(services).at = NOON + 2 * DAY
    assert await home_days(services, member) == 3
    await assert_audit_is_clean(services)


async def until_waiting(services: Services, count: int) -> None:
    """Wait until this many statements wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while await rows(services.db, query) != [(count,)]:
            await asyncio.sleep(0.01)
