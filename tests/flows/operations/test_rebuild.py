"""Decisions do not depend on the gate: they are the same after its loss, rebuilt or not."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise

import asyncpg
import msgspec
import pytest
from arq.connections import ArqRedis
from msgspec.structs import replace
from sqlalchemy import make_url

from engage.connections.servers import Servers
from engage.domain.activity import AnyActivity, AppSignIn
from engage.domain.refusals import Refusal, Unavailable
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.limits_from_ledger import load_gate
from engage.flows.activities.record import record
from engage.flows.operations import rebuild as rebuilding
from engage.flows.operations.audit import audit
from engage.flows.operations.rebuild import rebuild
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.take_events import take_events
from engage.gate import keys
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.signals.doorbell import QUEUE
from engage.store.members.members import read_members
from tests.support.activities import (
    PROGRAM,
    act,
    join,
    link,
    perform,
    review,
    review_removed,
    services_with_activities,
    social,
    tap,
)
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, StoppedClock, advance, running_clock, set_sandbox_clock
from tests.support.database import rows

COUNTRIES = ("ES", "GB", "NZ")
MEMBERS = [f"m-{n}" for n in range(9)]


def something(chance: random.Random, number: int) -> AnyActivity:
    some: list[AnyActivity] = [
        tap(),
        tap(),
        social(),
        social(f"s-{number % 5}"),
        link(),
        link(f"s-{number % 4}"),
        review(f"p-{number % 4}", f"r-{number % 7}"),
        AppSignIn(event_id=f"e-{number}"),
    ]
    return chance.choice(some)


async def live(services: Services, chance: random.Random, days: int) -> None:
    for day in range(days):
        for hour in (0, 7, 16):
            acts = [
                act(services, something(chance, n), chance.choice(MEMBERS))
                for n in range(chance.randrange(12))
            ]
            await record(services, acts)
            advance(services, timedelta(hours=8) if hour else timedelta(hours=7))
        await take_events(services, [review_removed(services, f"r-{day}", chance.choice(MEMBERS))])
        await settle_due(services, now=services.clock.now())
        advance(services, timedelta(hours=1))
    await services.post_commit.drain()


async def decisions(services: Services, chance: random.Random) -> list[object]:
    """Return the answers to activities of this day and some later ones."""
    answers: list[object] = []
    for _ in range(4):
        acts = [
            MemberActivity(PROGRAM, member, something(chance, n), services.clock.now())
            for member in MEMBERS
            for n in range(6)
        ]
        # One at a time: in a batch the slot that each activity gets is not determined.
        for activity in acts:
            answers += [comparable(answer) for answer in await record(services, [activity])]
        advance(services, timedelta(hours=21))
    return answers


def comparable(answer: RecordedActivity | Exception) -> object:
    if isinstance(answer, Refusal):
        return answer.code, {k: v for k, v in answer.facts.items() if k != "trace"}
    assert isinstance(answer, RecordedActivity), answer
    return (
        [(credit.rule, credit.points, credit.due_at, credit.state) for credit in answer.credits],
        answer.streak,
        answer.limit,
        answer.repeated,
    )


@pytest.mark.parametrize("seed", range(3))
async def test_after_a_loss_every_decision_is_the_same(
    own_database: Settings, state_url: str, state: Servers, seed: int
) -> None:
    own_database = replace(own_database, state_url=state_url)
    chance = random.Random(seed)
    async with services_with_activities(own_database) as services:
        for n, member in enumerate(MEMBERS):
            await join(services, member, COUNTRIES[n % 3])
        await live(services, chance, days=5 + seed)
        now = services.clock.now()
    answers = {}
    for loss in ("none", "emptied", "rebuilt"):
        async with copy_of(own_database, f"after_{loss}_{seed}") as settings:
            async with services_with_activities(settings, StoppedClock(now)) as services:
                if loss == "emptied":
                    await state.on_each("FLUSHALL")
                if loss == "rebuilt":
                    await rebuild(services)
                answers[loss] = await decisions(services, random.Random(seed))
                await services.post_commit.drain()
            await assert_audit_is_clean(services)
    assert answers["emptied"] == answers["none"]
    assert answers["rebuilt"] == answers["none"]
    codes = {
        answer[0] for answer in answers["none"] if isinstance(answer, tuple) and isinstance(answer[0], str)
    }
    assert codes >= {"already_tapped", "limit_reached", "already_rewarded"}, "all kinds of refusals occur"


@asynccontextmanager
async def copy_of(settings: Settings, name: str) -> AsyncIterator[Settings]:
    url = make_url(settings.database_url)
    connection = await asyncpg.connect(
        host=url.query["host"], port=int(str(url.query["port"])), user=url.username, database="postgres"
    )
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {url.database}")
        copied = url.set(database=name).render_as_string(hide_password=False)
        yield msgspec.structs.replace(settings, database_url=copied)
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


async def test_a_rebuilt_gate_has_the_same_slots(services: Services) -> None:
    for n, member in enumerate(MEMBERS):
        await join(services, member, COUNTRIES[n % 3])
    await live(services, random.Random(1), days=3)
    await record(services, [act(services, activity, m) for m in MEMBERS for activity in (tap(), social())])
    await services.post_commit.drain()
    before = {member: known(await services.gate.read(PROGRAM, member)) for member in MEMBERS}
    rebuilt = await rebuild(services)
    assert (rebuilt.members, rebuilt.loaded) == (9, 9)
    for member in MEMBERS:
        after = known(await services.gate.read(PROGRAM, member))
        assert after <= before[member], "no new slots"
        assert before[member] - after <= {r for r in before[member] if r.kind == keys.DAY}, (
            "only slots of today may be missing"
        )


def known(records: list[keys.Record] | None) -> set[keys.Record]:
    assert records is not None
    return {replace(record, unconfirmed=0) for record in records}


async def test_batches_of_several_loaders_are_what_members_have_one_by_one(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, member in enumerate(MEMBERS):
        await join(services, member, COUNTRIES[n % 3])
    await live(services, random.Random(2), days=3)
    await services.post_commit.drain()
    monkeypatch.setattr(rebuilding, "MEMBERS_PER_BATCH", 2)
    steps: list[tuple[str, int]] = []
    rebuilt = await rebuild(services, on_progress=lambda name, done, _: steps.append((name, done)))
    assert (rebuilt.members, rebuilt.loaded) == (9, 9)
    done = [count for name, count in steps if name == "members"]
    assert sorted(after - before for before, after in pairwise(done)) == [0, 1, 2, 2, 2, 2]
    loaded = {member: records(await services.gate.read(PROGRAM, member)) for member in MEMBERS}
    assert sum(map(len, loaded.values())) > len(MEMBERS), "members have streaks and windows"
    await services.gate.forget_all()
    async with transaction(services.db) as conn:
        found = await read_members(conn, [(PROGRAM, member) for member in MEMBERS])
        for each in found.values():
            await load_gate(services, conn, [(each, services.clock.now())])
    assert loaded == {member: records(await services.gate.read(PROGRAM, member)) for member in MEMBERS}


def records(packed: list[keys.Record] | None) -> set[keys.Record]:
    assert packed is not None
    return set(packed)


async def test_a_loader_that_fails_ends_the_rebuild(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for member in MEMBERS:
        await join(services, member)
    await services.post_commit.drain()

    async def fail(*_: object) -> object:
        raise Unavailable("state")

    monkeypatch.setattr(rebuilding, "MEMBERS_PER_BATCH", 2)
    monkeypatch.setattr(rebuilding, "load_gate", fail)
    monkeypatch.setattr(rebuilding, "PATIENCE_S", 0.0)
    with pytest.raises(Unavailable):
        await rebuild(services)
    assert "_load" not in {getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()}


async def test_inactive_members_are_loaded_at_their_next_activity(services: Services) -> None:
    await join(services)
    await perform(services, social())
    advance(services, 41 * DAY)
    await join(services, "m-2")
    await services.post_commit.drain()
    steps: list[tuple[str, int, int]] = []
    rebuilt = await rebuild(services, on_progress=lambda *step: steps.append(step))
    assert (rebuilt.members, rebuilt.loaded) == (2, 1)
    assert await services.gate.read(PROGRAM, "m-1") is None
    assert await services.gate.read(PROGRAM, "m-2") == []
    assert (await perform(services, social())).limit is not None
    assert steps[0] == ("members", 0, 2)
    assert ("members", 2, 2) in steps
    assert steps[-1] == ("doorbells", rebuilt.doorbells, rebuilt.doorbells)


async def test_a_rebuild_rings_doorbells_for_all_pending_credits(settings: Settings) -> None:
    clock = running_clock()
    async with services_with_activities(settings, clock) as services:
        await join(services)
        await perform(services, link())
        clock.offset += timedelta(minutes=3)
        await perform(services, tap())
        clock.offset += timedelta(minutes=3)
    await set_sandbox_clock(settings, clock.now())  # The rebuild reads this clock.
    async with (
        ArqRedis.from_url(settings.queue_url) as queue,
        services_with_activities(settings, clock) as services,
    ):
        await queue.flushdb()
        rebuilt = await rebuild(services)
        assert rebuilt.doorbells == 3, "what is overdue, the tap, and the credit of a day"
        assert await queue.zcard(QUEUE) == 3


async def test_activities_are_recorded_during_a_rebuild(
    services: Services, other: Services, settings: Settings
) -> None:
    for n, member in enumerate(MEMBERS):
        await join(services, member, COUNTRIES[n % 3])
    for _ in range(5):
        turns = [
            record(process, [act(process, a, m)])
            for m in MEMBERS
            for process in (services, other)
            for a in (tap(), social())
        ]
        await asyncio.gather(*turns, rebuild(services), rebuild(other))
        await settle_due(services, now=advance(services, DAY))
    days = await rows(
        services.db,
        "SELECT DISTINCT why -> 'inputs' ->> 'streak_days' FROM credits WHERE rule_id = 'fuel' ORDER BY 1",
    )
    assert [day for (day,) in days] == ["1", "2", "3", "4", "5"]
    shared = await rows(
        services.db, "SELECT rule_id, count(*) FROM credits WHERE reference IS NULL GROUP BY 1 ORDER BY 1"
    )
    assert ("share_any", 6 * 9) in shared
    await set_sandbox_clock(settings, services.clock.now())
    found = await audit(settings)
    assert (found.broken, found.late) == ([], [])
