"""Any number of workers share a backtest, and what one of them does is counted once."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from engage.flows.backtests import decide, finish, pace, work
from engage.flows.backtests.clean import KEPT, clean_backtests
from engage.flows.backtests.start import cancel_backtest, show_backtest
from engage.flows.backtests.work import IDLE_S, take_step, work_always
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.backtests import jobs
from tests.support.backtests import backtest, done, start
from tests.support.backtests import work as take_steps
from tests.support.campaigns import boost, document
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.eventually import WITHIN_S
from tests.support.tiers import PROGRAM, join, tap

MEMBERS = 12

# Taps of one member, so that a part is long though it cannot be divided.
_TAPS = text("""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, why)
SELECT c.program_id, c.member_id, uuidv7(), 'fuel:' || n, 'fuel', c.program_version, 3, 'pending',
       c.activity_at - make_interval(secs => n), c.accepted_at, c.why
FROM credits c, generate_series(1, :count) n
WHERE c.member_id = 'm-1' AND c.rule_id = 'fuel'
""")
WAITING = """
SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


def double(**fields: Any) -> dict[str, Any]:
    return document(boosts=[boost("fuel", multiply=2)], **fields)


@pytest.fixture
async def population(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Twelve members who tapped, a minute apart, in parts of three and the rest."""
    monkeypatch.setattr(finish, "MEMBERS_PER_PART", 3)
    for number in range(3, MEMBERS + 1):
        await join(services, f"m-{number}")
    for number in range(1, MEMBERS + 1):
        advance(services, timedelta(minutes=1))
        await tap(services, f"m-{number}")
    return services


@pytest.mark.parametrize("budget", [None, {"points": 10}, {"count": 5, "points_per_member": 2}])
async def test_two_workers_share_a_backtest(
    population: Services, other: Services, monkeypatch: pytest.MonkeyPatch, budget: Any
) -> None:
    alone = await backtest(population, double(budget=budget))
    id_ = await start(population, double(budget=budget))
    assert await take_step(population)
    both, decide_part, begun = asyncio.Barrier(2), decide.decide_part, 0

    async def decide_beside_another(*args: Any) -> None:
        nonlocal begun
        begun += 1
        if begun <= 2:
            await asyncio.wait_for(both.wait(), 30)
        await decide_part(*args)

    monkeypatch.setattr(work, "decide_part", decide_beside_another)
    shares = await asyncio.gather(take_steps(population), take_steps(other))
    assert min(shares) > 0
    # The parts, and the step about the whole; with a budget its end, and the closing of the parts.
    assert sum(shares) == 4 + 1 + (0 if budget is None else 1 + 4)
    shared = (await done(population, id_)).result
    assert shared is not None
    assert shared.activities == MEMBERS
    assert shared == alone


async def test_a_part_that_takes_long_is_divided(
    population: Services, other: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = await backtest(population, double())
    monkeypatch.setattr(decide, "PART_S", 0.0)
    monkeypatch.setattr("engage.flows.backtests.histories.CREDITS_PER_BATCH", 2)
    id_ = await start(population, double())
    await take_steps(population)
    assert (await show_backtest(population, id_)).result == alone


async def test_a_part_whose_worker_dies_is_done_by_another(population: Services, other: Services) -> None:
    alone = await backtest(population, double())
    id_ = await start(population, double())
    await take_step(population)
    # The worker waits with its part decided; its end takes the lock with it.
    async with transaction(other.db) as conn:
        await conn.execute(text("LOCK TABLE backtest_gains IN EXCLUSIVE MODE"))
        dying = asyncio.create_task(take_step(population))
        async with asyncio.timeout(WITHIN_S):
            while not await rows(other.db, WAITING):
                await asyncio.sleep(0.01)
        dying.cancel()
        await asyncio.wait([dying])
    states = "SELECT DISTINCT state FROM backtest_parts WHERE backtest_id = :id"
    assert await rows(population.db, states, id=id_) == [("waiting",)]
    assert (await done(other, id_)).result == alone


async def test_workers_stop_a_cancelled_backtest_between_batches(
    population: Services, other: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await start(population, double())
    await take_step(population)
    is_running = jobs.is_running

    async def cancel_first(*args: Any) -> bool:
        await cancel_backtest(other, id_)
        return await is_running(*args)

    monkeypatch.setattr(jobs, "is_running", cancel_first)
    assert await take_step(population)
    assert not await take_step(population)
    assert await rows(population.db, "SELECT count(*) FROM backtest_gains") == [(0,)]
    cancelled = await show_backtest(population, id_)
    assert (cancelled.state, cancelled.progress, cancelled.result) == ("cancelled", 0.0, None)


async def test_a_backtest_with_a_bug_fails_with_a_reason_and_others_go_on(
    population: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, sound = await start(population, double()), await start(population, double())
    decide_part = decide.decide_part

    async def fail_second(services: Services, conn: Any, job: Any, part: Any) -> None:
        if job.backtest.id == failing and part.after_member:
            raise KeyError("m-7")
        await decide_part(services, conn, job, part)

    monkeypatch.setattr(work, "decide_part", fail_second)
    await take_steps(population)
    failed = await show_backtest(population, failing)
    assert (failed.state, failed.result) == ("failed", None)
    assert (failed.reason or "").startswith("KeyError")
    assert 0 < failed.progress < 1
    assert (await show_backtest(population, sound)).state == "done"


@pytest.mark.parametrize("budget", [None, {"points": 900}])
async def test_others_have_their_turn_while_a_part_is_decided(
    services: Services, monkeypatch: pytest.MonkeyPatch, budget: Any
) -> None:
    monkeypatch.setattr(pace, "SLICE_S", 0.0)
    await tap(services)
    async with transaction(services.db) as conn:
        await conn.execute(_TAPS, {"count": 600})
    await start(services, double(budget=budget))
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    taking = asyncio.create_task(take_turns())
    await take_steps(services)
    taking.cancel()
    async with transaction(services.db) as conn:
        await conn.execute(text("DELETE FROM credits WHERE source_key ~ '^fuel:[0-9]+$'"))
    # One after each credit that is read, and one after each that is decided.
    assert turns > 2 * 600


async def test_a_worker_looks_for_backtests_by_itself(
    population: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "IDLE_S", IDLE_S / 100)
    turned = asyncio.Event()
    working = asyncio.create_task(work_always(population, turned.set))
    await asyncio.wait_for(turned.wait(), WITHIN_S)
    id_ = await start(population, double())
    async with asyncio.timeout(WITHIN_S):
        while (await show_backtest(population, id_)).state == "running":
            await asyncio.sleep(0.01)
    working.cancel()
    assert (await show_backtest(population, id_)).state == "done"


async def test_what_is_not_needed_any_more_is_deleted(population: Services) -> None:
    id_ = await start(population, double())
    cancelled = await start(population, double())
    await cancel_backtest(population, cancelled)
    await done(population, id_)
    await clean_backtests(population, now=population.clock.now())
    assert await rows(population.db, "SELECT count(*) FROM backtest_parts") == [(0,)]
    assert (await show_backtest(population, id_)).progress == 1
    assert await rows(population.db, "SELECT count(*) FROM backtest_gains") == [(MEMBERS,)]
    advance(population, KEPT + DAY)
    await clean_backtests(population, now=population.clock.now())
    tables = "SELECT (SELECT count(*) FROM backtest_gains), (SELECT count(*) FROM backtests)"
    assert await rows(population.db, tables) == [(0, 0)]


async def test_a_program_without_members_has_an_empty_result(services: Services) -> None:
    async with transaction(services.db) as conn:
        await conn.execute(text("DELETE FROM balances"))
        await conn.execute(text("DELETE FROM members WHERE program_id = :p"), {"p": PROGRAM})
    assert (await backtest(services, double(budget={"points": 5}))).activities == 0
