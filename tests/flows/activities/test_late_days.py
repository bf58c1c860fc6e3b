"""A streak is the fold of its events: in whatever order they are accepted, the state is the same."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text

from engage.domain.earning.limits import DailyStreak, StreakSlot
from engage.domain.earning.streak import view
from engage.domain.earning.streak_history import GotFreezes, StreakEvent, TappedDay, fold
from engage.domain.refusals import Refusal
from engage.flows.activities.freezes import buy_freeze
from engage.flows.operations.rebuild import rebuild
from engage.flows.reads.home import read_home
from engage.flows.scheduled.settle import settle_due
from engage.gate import keys
from engage.gate.claims import SlotRequest
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, NOON, stopped_clock
from tests.support.crash import lose_publications
from tests.support.database import rows
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.generated_cases import cases
from tests.support.programs import services_with
from tests.support.streaks import (
    FORGIVING,
    MADRID,
    PROGRAM,
    document,
    join,
    streak_in_gate,
    streak_in_ledger,
    tap_at,
    terms_of,
)

_numbers = iter(range(1_000_000))
PLAIN = document()


@pytest.fixture(params=[PLAIN, FORGIVING], ids=["plain", "forgiving"])
async def services(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, request.param) as opened:
        yield opened


async def new_member(services: Services) -> str:
    member = f"late-{next(_numbers)}"
    stopped_clock(services).at = NOON
    await join(services, member)
    await settle_due(services, now=NOON)
    return member


async def tap_on(services: Services, member: str, day: int, *, crash: bool = False) -> int:
    """Tap on a day, counted from NOON's, in a process whose clock is there or later; return its number."""
    at = NOON + day * DAY
    stopped_clock(services).at = max(services.clock.now(), at - DAY)
    answer = await tap_at(services, at, member)
    if crash:
        lose_publications(services)
    await services.post_commit.drain()
    (found,) = await rows(
        services.db,
        "SELECT CAST(why -> 'inputs' ->> 'streak_days' AS int) FROM credits WHERE id = :id",
        id=next(credit.id for credit in answer.credits if credit.rule == "fuel"),
    )
    assert isinstance(found[0], int)
    return found[0]


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


Step = tuple[str, int]  # ("tap" or "buy", day)
steps = st.lists(
    st.tuples(st.sampled_from(["tap", "tap", "tap", "buy"]), st.integers(0, 9)), min_size=1, max_size=8
)


@hypothesis_settings(max_examples=cases(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.data())
async def test_any_order_of_events_leaves_the_same_streak(
    services: Services, wanted: list[Step], data: st.DataObject
) -> None:
    """Gate, ledger, home screen and a loaded gate agree with the fold of what has happened."""
    member = await new_member(services)
    terms = terms_of(services, NOON)
    events: list[StreakEvent] = []
    for action, day in wanted:
        at = NOON + day * DAY
        try:
            if action == "buy":
                stopped_clock(services).at = at
                await buy_freeze(services, PROGRAM, member)
                newest = max((event.at for event in events), default=at)
                events.append(GotFreezes(max(at, newest), 1, MADRID, terms))
            else:
                number = await tap_on(services, member, day, crash=data.draw(st.booleans(), label="crash"))
                events.append(TappedDay(at, at.date(), MADRID, terms))
                assert number == fold(events).numbers[at.date()]
        except Refusal as refusal:
            codes = {"tap": ["already_tapped"], "buy": ["not_offered", "freezes_full"]}
            assert refusal.code in codes[action]  # noqa: PT017  # Any step may be refused.
        expected = fold(events).streak
        assert await streak_in_ledger(services, member) == expected
        record = await streak_in_gate(services, member)
        if record is not None and expected is not None and record.seq == len(events):
            assert record == keys.streak_record("fuel", expected, len(events))
        await check_home(services, member, events, terms, at)
    await services.gate.forget([(PROGRAM, member)])
    later = max(day for _, day in wanted) + data.draw(st.integers(1, 4), label="later")
    at = NOON + later * DAY
    events.append(TappedDay(at, at.date(), MADRID, terms))
    assert await tap_on(services, member, later) == fold(events).numbers[at.date()], "as loaded again"


async def check_home(
    services: Services, member: str, events: list[StreakEvent], terms: DailyStreak, at: datetime
) -> None:
    at = max(at, *(event.at for event in events)) if events else at
    stopped_clock(services).at = at
    home = await read_home(services, PROGRAM, member)
    expected = view(fold(events).streak, at, MADRID, terms, bonus_every_days=3)
    assert home.streak is not None
    assert {name: getattr(home.streak, name) for name in expected.__struct_fields__} == {
        name: getattr(expected, name) for name in expected.__struct_fields__
    }


async def test_a_day_after_midnight_that_comes_first_does_not_end_a_long_run(services: Services) -> None:
    member = await new_member(services)
    for day in (*range(28), 29, 28):
        await tap_on(services, member, day)
    stopped_clock(services).at = NOON + 29 * DAY
    assert await home_days(services, member) == 30
    await rebuild(services)
    record = await streak_in_gate(services, member)
    assert record is not None
    assert (record.days, record.frozen, record.seq) == (30, 0, 30)
    assert await home_days(services, member) == 30
    await assert_audit_is_clean(services)


@pytest.mark.parametrize("crash", [False, True])
async def test_the_bonus_of_a_run_that_is_completed_late_is_paid_once(
    settings: Settings, crash: bool
) -> None:
    async with services_with(settings, PLAIN) as services:
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


async def test_a_late_day_gives_back_the_freeze_that_covered_it(settings: Settings) -> None:
    async with services_with(settings, FORGIVING) as services:
        member = await new_member(services)
        for day in (0, 2, 4):
            await tap_on(services, member, day)
        stopped_clock(services).at = NOON + 4 * DAY
        assert await home_days(services, member) == 1, "one freeze does not cover two days"
        assert await tap_on(services, member, 1) == 2
        stopped_clock(services).at = NOON + 4 * DAY
        home = await read_home(services, PROGRAM, member)
        assert home.streak is not None
        assert (home.streak.days, home.streak.frozen_days) == (4, [(NOON + 3 * DAY).date()])
        assert home.streak.freezes == 1, "the fourth day in a row earned one"
        assert await bonuses(services, member) == [f"fuel_streak:{(NOON + 2 * DAY).date()}"]
        await assert_audit_is_clean(services)


async def test_a_tap_that_comes_after_a_later_purchase_leaves_the_purchase_the_newest(
    settings: Settings,
) -> None:
    async with services_with(settings, FORGIVING) as services:
        member = await new_member(services)
        stopped_clock(services).at = NOON + DAY
        await buy_freeze(services, PROGRAM, member)
        await tap_on(services, member, 0)
        streak = await streak_in_ledger(services, member)
        assert streak is not None
        assert (streak.days, streak.freezes, streak.at) == (1, 2, NOON + DAY)


async def test_days_of_two_processes_around_midnight_count_together(settings: Settings) -> None:
    """The first day is claimed and not accepted yet when the next day is accepted and confirmed."""
    async with (
        services_with(settings, PLAIN) as services,
        services_with(settings, clock=services.clock) as other,
    ):
        member = await new_member(services)
        await tap_on(services, member, 0)
        await other.members.refresh(other.db)
        midnight = datetime(2026, 11, 22, 23, tzinfo=NOON.tzinfo)
        moment = timedelta(milliseconds=1)
        slot = StreakSlot("fuel", (NOON + DAY).date(), MADRID, NOON + DAY, DailyStreak())
        await services.gate.claim([SlotRequest(PROGRAM, member, slot)])
        await tap_at(other, midnight + moment, member)
        await other.post_commit.drain()
        await tap_at(services, midnight - moment, member)
        await services.post_commit.drain()
        stopped_clock(services).at = midnight + moment
        assert await home_days(services, member) == 3
        assert await tap_on(services, member, 3) == 4


@pytest.mark.parametrize("first", ["day", "next day"])
async def test_the_bonus_of_two_days_that_are_accepted_at_once_is_paid(
    settings: Settings, first: str
) -> None:
    """Neither process sees the other one's day: only one of them can be the next event of the streak."""
    async with (
        services_with(settings, PLAIN) as services,
        services_with(settings, clock=services.clock) as other,
    ):
        member = await new_member(services)
        await tap_on(services, member, 0)
        await other.members.refresh(other.db)
        midnight = datetime(2026, 11, 22, 23, tzinfo=NOON.tzinfo)
        moment = timedelta(milliseconds=1)
        stopped_clock(services).at = midnight
        calls = [(services, midnight - moment), (other, midnight + moment)]
        async with services.db.connect() as conn, conn.begin() as blocking:
            lock = text("SELECT FROM balances WHERE member_id = :member FOR UPDATE")
            await conn.execute(lock, {"member": member})
            waiting = []
            for process, at in calls if first == "day" else reversed(calls):
                waiting.append(asyncio.create_task(tap_at(process, at, member)))
                await until_waiting(services, len(waiting))
                await services.gate.forget([(PROGRAM, member)])
            await blocking.rollback()
        await asyncio.gather(*waiting)
        for process in (services, other):
            await process.post_commit.drain()
        assert await bonuses(services, member) == [f"fuel_streak:{(NOON + 2 * DAY).date()}"]
        stopped_clock(services).at = NOON + 2 * DAY
        assert await home_days(services, member) == 3
        await assert_audit_is_clean(services)


async def until_waiting(services: Services, count: int) -> None:
    """Wait until this many statements wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with asyncio.timeout(WITHIN_S):
        while await rows(services.db, query) != [(count,)]:
            await asyncio.sleep(LOOK_AGAIN_S)
