import asyncio
from collections.abc import AsyncIterator
from itertools import groupby
from os import getpid
from pathlib import Path
from socket import gethostname

import msgspec
import pytest
from redis.asyncio import Redis

from engage.clock import machine_time
from engage.domain.accounts.balance import Balance
from engage.domain.identity import Identity
from engage.domain.refusals import Unavailable
from engage.signals.changes import Change, change_of
from engage.signals.topics import TICKET_TTL_S, Topics
from tests.support.eventually import LOOK_AGAIN_S, eventually
from tests.support.topics import Activated, listening, topics_of
from tests.support.valkey import own_valkey

ANA = Identity("eu-mi-points", "ana", 2_000_000_000, "thumbprint")


PROGRAM = "eu-mi-points"
M = (PROGRAM, "m")
MEMBERS = [(PROGRAM, f"m{number}") for number in range(100)]


@pytest.fixture
async def topics(valkey: Redis) -> AsyncIterator[Topics]:
    async with topics_of(valkey) as opened:
        yield opened


def change(member: str, seq: int) -> Change:
    return change_of(PROGRAM, member, Balance(active=seq, pending=2, held=1, debt=0, seq=seq), "tap")


async def test_every_subscriber_gets_every_change(topics: Topics) -> None:
    changes = [change(f"m{number}", 1) for number in range(100)]
    async with listening(topics, MEMBERS) as one, listening(topics, MEMBERS) as other:
        await topics.publish(changes)
        for queue in (one, other):
            got = [await queue.get() for _ in changes]
            assert sorted(map(repr, got)) == sorted(map(repr, changes))


async def test_a_members_changes_keep_their_order(topics: Topics) -> None:
    async with listening(topics, MEMBERS[:7]) as queue:
        await topics.publish([change(f"m{number % 7}", seq) for seq in range(1, 20) for number in range(7)])
        got = [await queue.get() for _ in range(19 * 7)]
    by_member = sorted((item for item in got if isinstance(item, Change)), key=lambda c: c.member_id)
    for _, changes in groupby(by_member, key=lambda c: c.member_id):
        assert [c.seq for c in changes] == list(range(1, 20))


async def test_publishing_no_changes_does_nothing(topics: Topics) -> None:
    await topics.publish([])


async def test_a_change_has_the_balance_that_it_was_made_of() -> None:
    balance = Balance(active=5, pending=4, held=3, debt=2, seq=1)
    assert change_of("p", "m", balance, "tap").balance == balance


async def test_a_ticket_is_redeemed_once(topics: Topics) -> None:
    ticket, _ = await topics.issue_ticket(ANA)
    assert await topics.redeem_ticket(ticket) == ANA
    assert await topics.redeem_ticket(ticket) is None


async def test_a_ticket_is_redeemed_once_however_many_try(topics: Topics) -> None:
    ticket, _ = await topics.issue_ticket(ANA)
    found = await asyncio.gather(*(topics.redeem_ticket(ticket) for _ in range(20)))
    assert (found.count(ANA), found.count(None)) == (1, 19)


async def test_a_ticket_expires_at_its_time(topics: Topics, valkey: Redis) -> None:
    before = machine_time()
    ticket, expires_at = await topics.issue_ticket(ANA)
    assert 0 < (expires_at - before).total_seconds() <= TICKET_TTL_S + 1
    [key] = await valkey.keys("engage:ticket:*")
    assert 0 < await valkey.pttl(key) <= TICKET_TTL_S * 1000
    await valkey.pexpire(key, 0)
    assert await topics.redeem_ticket(ticket) is None


async def test_valkey_holds_no_ticket_in_clear(topics: Topics, valkey: Redis) -> None:
    ticket, _ = await topics.issue_ticket(ANA)
    [key] = await valkey.keys("*")
    assert ticket.encode() not in key
    assert ticket.encode() not in await valkey.get(key)


async def test_a_ticket_of_another_release_is_not_redeemed(topics: Topics, valkey: Redis) -> None:
    ticket, _ = await topics.issue_ticket(ANA)
    [key] = await valkey.keys("engage:ticket:*")
    await valkey.set(key, msgspec.msgpack.encode(("eu-mi-points", "m1")))
    assert await topics.redeem_ticket(ticket) is None


async def test_an_unknown_ticket_is_not_redeemed(topics: Topics) -> None:
    assert await topics.redeem_ticket("of my own making") is None


async def test_processes_are_alive_while_their_heartbeat_lasts(topics: Topics) -> None:
    assert await topics.read_heartbeats("feed") == []
    await topics.heartbeat("feed", ["programs"])
    (alive,) = await topics.read_heartbeats("feed")
    assert (alive.id, alive.problems) == (f"{gethostname()}:{getpid()}", ["programs"])
    await topics.heartbeat("feed")
    (alive,) = await topics.read_heartbeats("feed")
    assert alive.problems == []
    assert await topics.read_heartbeats("worker") == []
    await topics.end_heartbeat("feed")
    assert await topics.read_heartbeats("feed") == []


async def test_a_process_without_a_heartbeat_is_not_alive(topics: Topics, valkey: Redis) -> None:
    now = machine_time().timestamp()
    await valkey.zadd("engage:health:feed", {"elsewhere:1": now - 0.001, "elsewhere:2": now + 60})
    assert [alive.id for alive in await topics.read_heartbeats("feed")] == ["elsewhere:2"]
    await topics.heartbeat("feed")
    assert len(await topics.read_heartbeats("feed")) == 2
    assert await valkey.zcard("engage:health:feed") == 2
    assert 0 < await valkey.pttl("engage:health:feed") <= 6000


async def test_without_valkey_every_call_is_unavailable() -> None:
    async with Redis(port=1) as nobody, topics_of(nobody) as topics:
        for asked in (
            topics.issue_ticket(ANA),
            topics.redeem_ticket("t"),
            topics.publish([change("m", 1)]),
            topics.heartbeat("feed"),
            topics.read_heartbeats("feed"),
        ):
            with pytest.raises(Unavailable) as refused:
                await asked
            assert refused.value.facts["part"] == "valkey"


async def test_a_subscriber_survives_a_restart_of_valkey_and_reports_the_gap(tmp_path: Path) -> None:
    async with (
        own_valkey(tmp_path) as server,
        Redis(port=server.port) as client,
        topics_of(client) as topics,
        listening(topics, [M]) as queue,
    ):
        await topics.publish([change("m", 1)])
        assert await queue.get() == change("m", 1)
        await server.kill()
        await server.start()
        assert await queue.get() == Activated(M)
        await topics.publish([change("m", 2)])
        assert await queue.get() == change("m", 2)


async def test_a_silent_server_is_disconnected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engage.signals.subscriptions.PROBE_AFTER_S", 0.1)
    monkeypatch.setattr("engage.connections.valkey.ANSWER_S", 0.2)
    async with (
        own_valkey(tmp_path) as server,
        Redis(port=server.port) as client,
        topics_of(client) as topics,
        listening(topics, [M]) as queue,
    ):
        before = server.connected_from()
        with server.hung():
            with pytest.raises(Unavailable):
                await topics.publish([change("m", 1)])
            await eventually(lambda: not before & server.connected_from())
        while await queue.get() != Activated(M):
            pass


async def test_a_quiet_time_is_not_a_gap(valkey: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engage.signals.subscriptions.PROBE_AFTER_S", 0.1)
    await valkey.config_resetstat()
    async with topics_of(valkey) as topics, listening(topics, [M]) as queue:
        while (await valkey.info("commandstats")).get("cmdstat_ping", {"calls": 0})["calls"] < 5:
            await asyncio.sleep(LOOK_AGAIN_S)
        await topics.publish([change("m", 1)])
        assert await queue.get() == change("m", 1)
