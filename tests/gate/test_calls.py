"""Calls with many items: the same results on one server and on a Cluster, with the library loaded or not."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from msgspec.structs import replace

from engage.connections.cluster import open_servers
from engage.connections.servers import Servers
from engage.domain.earning.limits import Slot, WindowSlot
from engage.domain.earning.streak import Streak
from engage.domain.refusals import Unavailable
from engage.embedded.ports import free_port
from engage.embedded.valkey_cluster import Cluster
from engage.gate import keys
from engage.gate.claims import ClaimResult, ConfirmCall, SlotRequest, StreakEvent
from engage.gate.client import Gate, open_gate
from engage.settings import Settings
from tests.gate.claims import (
    GRANTED,
    LONDON,
    PROGRAM,
    REFUSED,
    UNKNOWN,
    capped_review,
    claim,
    load,
    places,
    review,
    share,
    streak,
    taken,
    tap,
)

MEMBERS = [f"m-{n}" for n in range(12)]


def some_claims(seed: int, count: int) -> list[tuple[str, Slot]]:
    """Claims of few members for few slots, so that they compete."""
    chance = random.Random(seed)
    slots: list[Slot] = [
        *[tap(day) for day in range(1, 5)],
        tap(2, zone=LONDON),
        share(),
        share(31),
        share(count=1, rule="other"),
        share(2, kind="day", rule="daily"),
        review("band"),
        review("watch"),
        capped_review("a"),
        capped_review("b"),
        capped_review("c", 2),
        WindowSlot("share", share().window, 3, further=(share(2, count=1, kind="day"),)),
    ]
    return [(chance.choice(MEMBERS), chance.choice(slots)) for _ in range(count)]


async def prepare(gate: Gate, program: str) -> None:
    records: list[keys.Record] = [streak(1, 3), places(1)]
    known = [(program, member, records) for member in MEMBERS[::3]]
    await gate.load(known, day=20_000, month=24_000)
    await gate.load([(program, member, []) for member in MEMBERS[1::3]], day=20_000, month=24_000)


@pytest.mark.parametrize("seed", range(4))
async def test_a_batch_gives_the_results_of_single_claims(gate: Gate, seed: int) -> None:
    seen = set()
    await prepare(gate, "p-one")
    await prepare(gate, "p-many")
    for half in range(2):
        claims = some_claims(2 * seed + half, 150)
        one_by_one: list[ClaimResult] = []
        for member, slot in claims:
            one_by_one += await gate.claim([SlotRequest("p-one", member, slot)])
        many = await gate.claim([SlotRequest("p-many", member, slot) for member, slot in claims])
        assert many == one_by_one
        seen |= {answer.status for answer in many}
        granted = [(*c, a) for c, a in zip(claims, many, strict=True) if a.status == GRANTED]
        for member, slot, answer in granted:
            await gate.confirm([(SlotRequest("p-one", member, slot, answer.event), answer.number)])
        await gate.confirm(
            [(SlotRequest("p-many", member, slot, a.event), a.number) for member, slot, a in granted]
        )
    assert seen == {GRANTED, REFUSED, UNKNOWN}
    for member in MEMBERS:
        assert await gate.read("p-many", member) == await gate.read("p-one", member)


def test_members_with_the_same_day_share_its_record() -> None:
    slot = tap(2)
    run = Streak(last_day=slot.day, days=2, zone=slot.zone, at=slot.at)
    events = [
        StreakEvent(run, 2),
        StreakEvent(run, 2),
        StreakEvent(run, 3),
        StreakEvent(replace(run, best=9), 2),
    ]
    call = ConfirmCall([(SlotRequest(PROGRAM, f"m-{n}", slot, event), 2) for n, event in enumerate(events)])
    assert call.claims == ["m-0", 1, "m-1", 1, "m-2", 2, "m-3", 3]
    assert [keys.unpack(record) for record in call.records] == [
        [keys.streak_record("fuel", event.streak, event.seq)] for event in events[1:]
    ]


async def test_a_cluster_gives_the_results_of_one_server(servers: Settings, cluster: Cluster) -> None:
    """The cluster has no library at first; the first call loads it."""
    async with AsyncExitStack() as stack:
        one, many = [
            await stack.enter_async_context(empty_gate(url)) for url in (servers.state_url, cluster.url)
        ]
        claims = some_claims(9, 200)
        await prepare(one, PROGRAM)
        await prepare(many, PROGRAM)
        requests = [SlotRequest(PROGRAM, member, slot) for member, slot in claims]
        expected, actual = await one.claim(requests), await many.claim(requests)
        assert actual == expected
        granted = [
            (replace(request, event=claim.event), claim.number)
            for request, claim in zip(requests, actual, strict=True)
            if claim.status == GRANTED
        ]
        for gate in (one, many):
            await gate.confirm(granted)
            await gate.undo(requests[::7])
        for member in MEMBERS:
            assert await many.read(PROGRAM, member) == await one.read(PROGRAM, member)
        assert await many.claim(requests) == await one.claim(requests)
        await many.forget_all()
        assert [await many.read(PROGRAM, member) for member in MEMBERS] == [None] * len(MEMBERS)


@asynccontextmanager
async def empty_gate(url: str) -> AsyncIterator[Gate]:
    """Open a gate on servers without keys and libraries."""
    servers = open_servers(url)
    await servers.on_each("FLUSHALL")
    await servers.on_each("FUNCTION FLUSH", "SYNC")
    yield Gate(servers)
    await servers.aclose()


async def test_a_lost_library_is_loaded_again(gate: Gate, state: Servers) -> None:
    await load(gate)
    assert await taken(gate, tap(1)) == 1
    await state.on_each("FLUSHALL")
    await state.on_each("FUNCTION FLUSH", "SYNC")
    assert await claim(gate, tap(1)) == (2, 0)
    await state.on_each("FUNCTION FLUSH", "SYNC")
    await load(gate)
    assert await claim(gate, tap(1)) == (GRANTED, 1)


async def test_an_empty_batch_has_no_results(gate: Gate) -> None:
    assert await gate.claim([]) == []
    await gate.confirm([])
    await gate.undo([])
    await gate.load([], day=0, month=0)


async def test_a_server_that_is_away_is_unavailable() -> None:
    gate = open_gate(f"redis://127.0.0.1:{free_port('127.0.0.1')}/0")
    try:
        for call in (gate.check(), gate.install(), gate.forget_all(), claim(gate, tap(1)), load(gate)):
            with pytest.raises(Unavailable) as away:
                await call
            assert away.value.facts["part"] == "valkey"
    finally:
        await gate.close()


async def test_a_cluster_that_is_away_is_unavailable() -> None:
    gate = open_gate(f"redis+cluster://127.0.0.1:{free_port('127.0.0.1')}")
    try:
        with pytest.raises(Unavailable):
            await claim(gate, tap(1))
    finally:
        await gate.close()


async def test_a_full_server_is_unavailable(gate: Gate, state: Servers) -> None:
    await load(gate)
    await state.on_each("CONFIG SET", "maxmemory", "1")
    try:
        with pytest.raises(Unavailable):
            await claim(gate, tap(1))
    finally:
        await state.on_each("CONFIG SET", "maxmemory", "0")
    assert await claim(gate, tap(1)) == (GRANTED, 1)
