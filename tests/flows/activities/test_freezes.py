"""Freezes: bought with points in one transaction, spent by missed days, never more than the most."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest

from engage.domain.refusals import Code, Refusal
from engage.flows.activities.activity import RecordedActivity
from engage.flows.activities.freezes import BoughtFreeze, buy_freeze
from engage.flows.activities.home import HomeStreak
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.operations.rebuild import rebuild
from engage.flows.reads.home import read_home
from engage.flows.reads.statement import read_entries
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, NOON, stopped_clock
from tests.support.database import rows
from tests.support.programs import services_with
from tests.support.streaks import (
    FORGIVING,
    FREEZES,
    PROGRAM,
    days_in_ledger,
    document,
    join,
    streak_in_gate,
    streak_in_ledger,
    tap_at,
)

TODAY = NOON.date()


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, FORGIVING) as opened:
        await new_member(opened)
        yield opened


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    async with services_with(settings, clock=services.clock) as opened:
        yield opened


async def new_member(services: Services, member_id: str = "m-1", country: str = "ES") -> None:
    await join(services, member_id, country)
    await settle_due(services, now=services.clock.now())


def on(services: Services, day: float) -> datetime:
    """Set the clock to a day counted from NOON's."""
    stopped_clock(services).at = NOON + day * DAY
    return stopped_clock(services).at


async def tap_on(services: Services, day: float, member_id: str = "m-1") -> RecordedActivity:
    answer = await tap_at(services, on(services, day), member_id)
    await services.post_commit.drain()
    return answer


async def streak(services: Services, member_id: str = "m-1") -> HomeStreak:
    home = await read_home(services, PROGRAM, member_id)
    assert home.streak is not None
    return home.streak


async def buy(services: Services, member_id: str = "m-1") -> BoughtFreeze | Refusal:
    try:
        return await buy_freeze(services, PROGRAM, member_id)
    except Refusal as refusal:
        return refusal


async def test_missed_days_take_one_freeze_each_and_then_the_run_is_lost(services: Services) -> None:
    await tap_on(services, 0)
    await buy(services)
    on(services, 2)
    shown = await streak(services)
    assert (shown.days, shown.freezes, shown.frozen_days) == (1, 1, [TODAY + DAY])
    on(services, 3)
    shown = await streak(services)
    assert (shown.days, shown.freezes, shown.frozen_days) == (1, 0, [TODAY + DAY, TODAY + 2 * DAY])
    assert shown.lost is None
    answer = await tap_on(services, 3)
    assert answer.streak is not None
    assert (answer.streak.days, answer.streak.freezes, answer.streak.best) == (2, 0, 2)
    assert (await streak(services)).frozen_days == [TODAY + DAY, TODAY + 2 * DAY], "they are of the run still"
    on(services, 5)
    shown = await streak(services)
    assert (shown.days, shown.best, shown.frozen_days) == (0, 2, [])
    assert shown.lost is not None
    assert (shown.lost.days, shown.lost.on) == (2, TODAY + 4 * DAY)
    assert shown.offer is not None
    assert (shown.offer.points, shown.offer.max, shown.offer.is_full) == (5, 2, False)
    again = await tap_on(services, 5)
    assert again.streak is not None
    assert (again.streak.days, again.streak.best) == (1, 2)
    assert (await streak(services)).lost is None
    await assert_audit_is_clean(services)


async def test_every_fourth_day_earns_a_freeze_up_to_the_most(services: Services) -> None:
    left = []
    for day in range(12):
        answer = await tap_on(services, day)
        assert answer.streak is not None
        left.append(answer.streak.freezes)
    assert left == [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2]


async def test_bonuses_count_days_with_a_tap_and_not_frozen_ones(services: Services) -> None:
    await tap_on(services, 0)
    await tap_on(services, 2)
    assert (await streak(services)).next_bonus_in == 1
    third = await tap_on(services, 3)
    assert {credit.rule for credit in third.credits} == {"fuel", "fuel_streak"}


async def test_a_day_ends_for_freezes_where_the_run_began_and_not_by_utc(services: Services) -> None:
    await new_member(services, "m-nz", "NZ")
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)  # 01:00 of the 22nd in Auckland, which counts for the 21st.
    await tap_at(services, at, "m-nz")
    over = datetime(2026, 11, 22, 14, tzinfo=UTC)  # 03:00 of the 23rd there: the 22nd was missed.
    stopped_clock(services).at = over - timedelta(minutes=1)
    assert (await streak(services, "m-nz")).freezes == 1
    stopped_clock(services).at = over
    shown = await streak(services, "m-nz")
    assert (shown.freezes, shown.frozen_days) == (0, [date(2026, 11, 22)])


async def test_a_tap_in_the_grace_counts_for_yesterday_and_the_next_one_for_today(
    services: Services,
) -> None:
    night = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)  # 02:30 of the 23rd in Madrid.
    await tap_on(services, 0)
    first, second = await tap_at(services, night), await tap_at(services, night)
    assert first.streak is not None
    assert second.streak is not None
    assert first.streak.next_tap_at <= night, "today is open"
    assert (first.streak.days, second.streak.days) == (2, 3)
    assert await days_in_ledger(services) == {TODAY, TODAY + DAY, TODAY + 2 * DAY}
    with pytest.raises(Refusal, match="already_tapped"):
        await tap_at(services, night)
    assert (await streak_in_ledger(services)) is not None
    await assert_audit_is_clean(services)


async def test_a_purchase_is_in_the_statement_and_a_hold_of_its_own(services: Services) -> None:
    await tap_on(services, 0)
    assert await buy(services) == BoughtFreeze(freezes=2, points=5)
    home = await read_home(services, PROGRAM, "m-1")
    assert home.balance.active == 95
    (newest, *_) = await read_entries(services, PROGRAM, "m-1", before=None, limit=10)
    assert (newest.kind, newest.points) == ("redemption", -5)
    found = await rows(services.db, "SELECT purpose, state, CAST(points AS int) FROM holds")
    assert found == [("freeze", "captured", 5)]
    await assert_audit_is_clean(services)


async def test_a_freeze_is_refused_when_full_without_points_and_where_none_are_sold(
    settings: Settings,
) -> None:
    free = document(limit="freezes = { start = 1, max = 2 }")
    async with services_with(settings, free) as services:
        await new_member(services)
        refusal = await buy(services)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.status) == (Code.NOT_OFFERED, 404)
        assert (await streak(services)).offer is None


async def test_a_full_stock_and_an_empty_account_are_refused(services: Services) -> None:
    await buy(services)
    full = await buy(services)
    assert isinstance(full, Refusal)
    assert (full.code, full.status, full.facts["limit"]) == (Code.FREEZES_FULL, 409, 2)
    await join(services, "m-poor")  # The welcome points are not active yet.
    poor = await buy(services, "m-poor")
    assert isinstance(poor, Refusal)
    assert (poor.code, poor.status) == (Code.INSUFFICIENT_POINTS, 409)
    assert (poor.facts["active"], poor.facts["points"]) == (0, 5)
    assert await streak_in_ledger(services, "m-poor") is None, "nothing is left of a refused purchase"


async def test_a_freeze_can_be_bought_before_the_first_tap(services: Services) -> None:
    assert await buy(services) == BoughtFreeze(freezes=2, points=5)
    shown = await streak(services)
    assert (shown.days, shown.freezes, shown.best, shown.lost) == (0, 2, 0, None)
    answer = await tap_on(services, 0.1)
    assert answer.streak is not None
    assert (answer.streak.days, answer.streak.freezes) == (1, 2)


async def test_twenty_purchases_at_once_over_two_processes_buy_one(
    services: Services, other: Services
) -> None:
    """There is room for one: a member begins with one of two."""
    await tap_on(services, 0)
    await other.members.refresh(other.db)
    answers = await asyncio.gather(*(buy((services, other)[n % 2]) for n in range(20)))
    codes = [answer.code if isinstance(answer, Refusal) else "bought" for answer in answers]
    assert sorted(codes) == ["bought", *["freezes_full"] * 19]
    assert (await read_home(services, PROGRAM, "m-1")).balance.active == 95
    await assert_audit_is_clean(services)


async def test_taps_that_race_purchases_lose_neither(settings: Settings) -> None:
    sold = document(limit="freezes = { start = 1, max = 2, price_points = 5 }")
    async with (
        services_with(settings, sold) as services,
        services_with(settings, clock=services.clock) as other,
    ):
        await new_member(services)
        await other.members.refresh(other.db)
        for day in range(6):
            at = on(services, 2 * day)  # Each day between is missed, and takes the freeze that is bought.
            tapped, bought = await asyncio.gather(tap_at(services, at), buy(other))
            assert tapped.streak is not None
            assert (tapped.streak.days, bought) == (day + 1, BoughtFreeze(freezes=2, points=5))
            for process in (services, other):
                await process.post_commit.drain()
        assert (await streak(services)).freezes == 2
        await services.gate.forget([(PROGRAM, "m-1")])
        answer = await tap_on(services, 13)
        assert answer.streak is not None
        assert (answer.streak.days, answer.streak.freezes) == (7, 0)
        await assert_audit_is_clean(services)


async def test_a_purchase_that_the_gate_never_heard_of_counts_at_the_next_tap(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the commit and the gate."""
    await tap_on(services, 0)

    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(type(services.gate), "forget", die)
        with pytest.raises(KeyboardInterrupt):
            await buy(services)
    record = await streak_in_gate(services)
    assert record is not None
    assert record.freezes == 1, "the gate knows one, the ledger two"
    answer = await tap_on(services, 3)
    assert answer.streak is not None
    assert (answer.streak.days, answer.streak.freezes) == (2, 0)


async def test_a_rebuild_gives_the_same_streak(services: Services) -> None:
    for day in (0, 1, 3):
        await tap_on(services, day)
    await buy(services)
    before, ledger = await streak(services), await streak_in_ledger(services)
    await services.gate.forget_all()
    await rebuild(services)
    record = await streak_in_gate(services)
    assert ledger is not None
    assert record is not None
    assert (record.days, record.frozen, record.freezes, record.best) == (
        ledger.days,
        ledger.frozen,
        ledger.freezes,
        ledger.best,
    )
    assert await streak(services) == before
    answer = await tap_on(services, 5)
    assert answer.streak is not None
    assert (answer.streak.days, answer.streak.freezes) == (4, 1), "one spent, and the fourth day earned one"


async def test_a_later_version_gives_freezes_to_runs_that_go_on(settings: Settings) -> None:
    plain = document(since="2020-01-01")
    forgiving = document("2", "2026-11-24", limit=f"freezes = {{ {FREEZES} }}")
    async with services_with(settings, plain, forgiving) as services:
        for member, last in (("m-kept", 2), ("m-lost", 1)):
            await new_member(services, member)
            for day in range(last + 1):
                await tap_on(services, day, member)
        on(services, 2.4)
        assert (await streak(services, "m-kept")).freezes == 0
        on(services, 3)  # Since midnight of the 24th.
        assert (await streak(services, "m-kept")).freezes == 1
        assert (await streak(services, "m-lost")).freezes == 1
        assert (await streak(services, "m-lost")).lost is not None, "the 23rd was missed before"
        kept, lost = await tap_on(services, 4, "m-kept"), await tap_on(services, 4, "m-lost")
        assert kept.streak is not None
        assert lost.streak is not None
        assert (kept.streak.days, kept.streak.freezes) == (4, 1), "spent one, and earned one"
        assert (lost.streak.days, lost.streak.freezes) == (1, 1)
        await assert_audit_is_clean(services)


async def test_a_merger_keeps_the_survivors_streak_and_brings_bought_freezes(services: Services) -> None:
    await new_member(services, "m-2")
    for day in range(3):
        await tap_on(services, day)
        await tap_on(services, day, "m-2")
    await buy(services, "m-2")
    await tap_on(services, 3, "m-2")
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="key-1")
    shown = await streak(services)
    assert (shown.days, shown.freezes) == (4, 3), "its own, one for the fourth day, and the bought one"
    answer = await tap_on(services, 6)
    assert answer.streak is not None
    assert (answer.streak.days, answer.streak.freezes) == (5, 1)
    await assert_audit_is_clean(services)


async def test_erasure_leaves_the_days_and_nothing_personal(services: Services) -> None:
    await tap_on(services, 0)
    await buy(services)
    await tap_on(services, 2)
    await erase_member(services, PROGRAM, "m-1", operator="key-1")
    assert await buy(services) != BoughtFreeze(freezes=2, points=5)
    assert await days_in_ledger(services) == {TODAY, TODAY + 2 * DAY}
    await assert_audit_is_clean(services)
