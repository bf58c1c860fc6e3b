"""Calls with many items: the same results on one server and on a Cluster, with the library loaded or not."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from engage.domain.earning.limits import Slot, WindowSlot
from engage.domain.earning.streak import Streak
from engage.domain.refusals import Unavailable
from engage.embedded import valkey as embedded
from engage.embedded.child_process import start
from engage.embedded.data_folder import folder_at, lock_folder
from engage.embedded.ports import free_port
from engage.gate import keys
from engage.gate.claims import ClaimResult, ConfirmCall, SlotRequest, StreakEvent
from engage.gate.client import Gate, open_gate
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
from tests.support.eventually import WITHIN_S

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


async def test_a_cluster_gives_the_results_of_one_server(gate: Gate, cluster: Gate) -> None:
    """The cluster has no library at first; the first call loads it."""
    claims = some_claims(9, 200)
    await prepare(gate, PROGRAM)
    await prepare(cluster, PROGRAM)
    requests = [SlotRequest(PROGRAM, member, slot) for member, slot in claims]
    expected, actual = await gate.claim(requests), await cluster.claim(requests)
    assert actual == expected
    granted = [
        (replace(request, event=claim.event), claim.number)
        for request, claim in zip(requests, actual, strict=True)
        if claim.status == GRANTED
    ]
    for server in (gate, cluster):
        await server.confirm(granted)
        await server.undo(requests[::7])
    for member in MEMBERS:
        assert await cluster.read(PROGRAM, member) == await gate.read(PROGRAM, member)
    assert await cluster.claim(requests) == await gate.claim(requests)
    await cluster.forget_all()
    assert [await cluster.read(PROGRAM, member) for member in MEMBERS] == [None] * len(MEMBERS)


async def test_a_lost_library_is_loaded_again(gate: Gate, valkey: Redis) -> None:
    await load(gate)
    assert await taken(gate, tap(1)) == 1
    await valkey.flushall()
    await valkey.execute_command("FUNCTION FLUSH", "SYNC")  # type: ignore[no-untyped-call]
    assert await claim(gate, tap(1)) == (2, 0)
    await valkey.execute_command("FUNCTION FLUSH", "SYNC")  # type: ignore[no-untyped-call]
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


async def test_a_full_server_is_unavailable(gate: Gate, valkey: Redis) -> None:
    await load(gate)
    await valkey.config_set("maxmemory", "1")
    try:
        with pytest.raises(Unavailable):
            await claim(gate, tap(1))
    finally:
        await valkey.config_set("maxmemory", "0")
    assert await claim(gate, tap(1)) == (GRANTED, 1)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Gate]:
    """A gate on a Cluster of one node with all hash slots."""
    folder = folder_at(tmp_path / "cluster")
    with lock_folder(folder):
        server = embedded.prepare(folder, durable=False)
        with (folder.valkey / "valkey.conf").open("a") as configuration:
            # The default, 10,000 above the port, may be no valid port.
            bus = free_port(embedded.HOST)
            configuration.write(
                f"cluster-enabled yes\ncluster-announce-ip {embedded.HOST}\ncluster-port {bus}\n"
            )
        running = await start(server.process)
        try:
            await running.wait_until_ready()
            async with Redis(host=embedded.HOST, port=server.port, decode_responses=True) as client:
                await client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]
                await _until_ok(client)
            gate = open_gate(f"redis+cluster://{embedded.HOST}:{server.port}")
            yield gate
            await gate.close()
        finally:
            await running.stop()


async def _until_ok(client: Redis) -> None:
    async with asyncio.timeout(WITHIN_S):
        while (await client.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":  # type: ignore[no-untyped-call]
            await asyncio.sleep(0.02)
