"""The feed over real sockets and a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis
from websockets.exceptions import InvalidStatus

from engage.feed.hub import SOCKETS_PER_MEMBER
from engage.feed.messages import MESSAGE_BYTES
from tests.feed.feeds import NO_PATIENCE, PROGRAM, Balances, Client, World, narrow_socket, running_feed
from tests.support.eventually import eventually
from tests.support.valkey import own_valkey

# More changes than all the buffers between a publisher and a client have room for.
MANY = range(2, 3_000)


@pytest.fixture
async def balances() -> Balances:
    balances = Balances()
    balances.change("m1", 1)
    balances.change("m2", 1)
    return balances


@pytest.fixture
async def world(valkey: Redis, balances: Balances) -> AsyncIterator[World]:
    async with running_feed(valkey, balances) as world:
        await world.ready()
        yield world


@pytest.fixture
async def hasty(valkey: Redis, balances: Balances) -> AsyncIterator[World]:
    """A feed that waits for nobody for long."""
    async with running_feed(valkey, balances, timeouts=NO_PATIENCE) as world:
        await world.ready()
        yield world


# Balances.


async def test_a_client_gets_a_snapshot_and_then_each_change(world: World) -> None:
    async with world.client("m1") as client:
        await client.hears("snapshot", 1)
        await world.change("m1", [2, 3])
        await client.hears("balance", 2, "tap")
        await client.hears("balance", 3, "tap")


async def test_every_connection_of_a_member_gets_that_members_changes_only(world: World) -> None:
    async with world.client("m1") as phone, world.client("m1") as tablet, world.client("m2") as other:
        for client in (phone, tablet, other):
            await client.hears("snapshot", 1)
        await world.change("m1", [2])
        await world.change("m2", [3])
        await phone.hears("balance", 2, "tap")
        await tablet.hears("balance", 2, "tap")
        await other.hears("balance", 3, "tap")


async def test_two_feeds_push_the_same_changes(valkey: Redis, balances: Balances) -> None:
    async with running_feed(valkey, balances) as one, running_feed(valkey, balances) as two:
        await one.ready()
        await two.ready()
        async with one.client("m1") as here, two.client("m1") as there:
            await here.hears("snapshot", 1)
            await there.hears("snapshot", 1)
            await one.change("m1", [2])
            await here.hears("balance", 2, "tap")
            await there.hears("balance", 2, "tap")
        assert await one.topics.count_alive("feed") == 1  # Of one process, this one.
    assert await one.topics.count_alive("feed") == 0


async def test_a_resume_is_answered_with_the_current_balance(world: World) -> None:
    async with world.client("m1") as client:
        await client.hears("snapshot", 1)
        await world.change("m1", [2, 3])
    async with world.client("m1") as client:
        await client.says(type="resume", seq=1)
        message = await client.hear()
        if message["type"] == "snapshot":  # It was on its way before the resume came.
            message = await client.hear()
        assert (message["type"], message["seq"], message["cause"]) == ("balance", 3, "resume")


async def test_a_resume_that_comes_with_the_ticket_replaces_the_snapshot(world: World) -> None:
    ticket, _ = await world.topics.issue_ticket(PROGRAM, "m1")
    world.balances.away = True
    async with world.client() as client:
        await client.says(type="auth", ticket=ticket)
        await client.says(type="resume", seq=1)
        await eventually(lambda: world.balances.refused > 2)
        world.balances.away = False
        await client.hears("balance", 1, "resume")


async def test_clients_that_connect_at_once_share_a_read(world: World) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for number in range(200):
            world.balances.change(f"crowd{number}", number)
            group.create_task(connect_and_leave(world, f"crowd{number}", number))
    assert sum(map(len, world.balances.reads)) == 200
    assert len(world.balances.reads) < 100


async def connect_and_leave(world: World, member_id: str, seq: int) -> None:
    async with world.client(member_id) as client:
        await client.hears("snapshot", seq)


async def test_ended_connections_are_removed(world: World) -> None:
    async with world.client("m1") as client, world.client("m1") as other, world.client() as third:
        await client.hears("snapshot", 1)
        await other.hears("snapshot", 1)
        assert len(world.feed) == 3
        client.connection.transport.abort()
        await third.connection.close()
        await eventually(lambda: len(world.feed) == 1)
        await world.change("m1", [2])
        await other.hears("balance", 2, "tap")
    await eventually(lambda: len(world.feed) == 0)


# Credentials.


async def test_a_ticket_is_valid_once(world: World) -> None:
    ticket, _ = await world.topics.issue_ticket(PROGRAM, "m1")
    async with world.client() as client:
        await client.says(type="auth", ticket=ticket)
        await client.hears("snapshot", 1)
        await world.change("m1", [2])
        await client.hears("balance", 2, "tap")
    async with world.client() as client:
        await client.says(type="auth", ticket=ticket)
        assert await client.closed() == (3000, "bad credentials")


async def test_an_expired_ticket_is_refused(world: World, valkey: Redis) -> None:
    ticket, _ = await world.topics.issue_ticket(PROGRAM, "m1")
    [key] = await valkey.keys("engage:ticket:*")
    await valkey.pexpire(key, 0)
    async with world.client() as client:
        await client.says(type="auth", ticket=ticket)
        assert await client.closed() == (3000, "bad credentials")


@pytest.mark.parametrize("credentials", ["Bearer of bad news", "Basic token of m1", "Bearer", "", "Bearer "])
async def test_bad_credentials_are_refused(world: World, credentials: str) -> None:
    async with world.client(additional_headers={"Authorization": credentials}) as client:
        assert await client.closed() == (3000, "bad credentials")


async def test_two_credentials_are_refused(world: World) -> None:
    both = [("Authorization", "Bearer token of m1"), ("Authorization", "Bearer token of m2")]
    async with world.client(additional_headers=both) as client:
        assert await client.closed() == (3000, "bad credentials")


async def test_a_scheme_may_be_written_in_any_case(world: World) -> None:
    async with world.client(additional_headers={"Authorization": "bearer token of m1"}) as client:
        await client.hears("snapshot", 1)


async def test_an_unknown_member_is_refused(world: World) -> None:
    async with world.client("nobody") as client:
        assert await client.closed() == (3000, "unknown member")


async def test_a_connection_without_credentials_is_closed(hasty: World) -> None:
    async with hasty.client() as client:
        assert await client.closed() == (3000, "no credentials")


@pytest.mark.parametrize("first", ['{"type":"resume","seq":1}', "garbage", b"\xff\xfe", '{"type":"auth"}'])
async def test_the_first_message_has_to_authenticate(world: World, first: str | bytes) -> None:
    async with world.client() as client:
        await client.connection.send(first)
        assert await client.closed() == (3000, "authenticate first")


@pytest.mark.parametrize("more", ['{"type":"auth","ticket":"t"}', "garbage", b"\xff\xfe", '{"seq":1}'])
async def test_an_unexpected_message_closes_the_connection(world: World, more: str | bytes) -> None:
    async with world.client("m1") as client:
        await client.hears("snapshot", 1)
        await client.connection.send(more)
        assert await client.closed() == (1008, "unexpected message")


async def test_a_message_that_is_too_long_closes_the_connection(world: World) -> None:
    async with world.client("m1") as client:
        await client.hears("snapshot", 1)
        await client.connection.send(b"x" * (MESSAGE_BYTES + 1))
        assert (await client.closed())[0] == 1009


async def test_one_connection_too_many_closes_the_oldest(world: World) -> None:
    async with AsyncExitStack() as open_:
        oldest, *others = [
            await open_.enter_async_context(world.client("m1")) for _ in range(SOCKETS_PER_MEMBER + 1)
        ]
        await oldest.hears("snapshot", 1)
        assert await oldest.closed() == (1008, "too many connections")
        for client in others:
            await client.hears("snapshot", 1)
        await world.change("m1", [2])
        for client in others:
            await client.hears("balance", 2, "tap")


async def test_a_full_feed_refuses_before_the_handshake(valkey: Redis, balances: Balances) -> None:
    async with running_feed(valkey, balances, connections=1) as world, world.client("m1") as client:
        await client.hears("snapshot", 1)
        with pytest.raises(InvalidStatus) as refused:
            async with world.client("m2"):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "5"


# Slow clients.


async def test_a_slow_client_skips_states_and_never_sees_a_wrong_one(world: World) -> None:
    options = {"sock": narrow_socket(world.feed.port), "max_queue": 1}
    async with world.client("m1", **options) as slow, world.client("m1") as quick:
        await slow.hears("snapshot", 1)
        await quick.hears("snapshot", 1)
        await change_and_hear(world, quick)
        seqs = [(await slow.hear())["seq"]]
        while seqs[-1] != MANY[-1]:
            seqs.append((await slow.hear())["seq"])
        assert seqs == sorted(set(seqs))
        assert len(seqs) < len(MANY) / 2
        # It is as good as any other from now on.
        await world.change("m1", [MANY[-1] + 1])
        await slow.hears("balance", MANY[-1] + 1, "tap")


async def change_and_hear(world: World, quick: Client) -> None:
    """Many changes, each heard by a client that is quick before the next ones are made."""
    for start in range(MANY.start, MANY.stop, 10):
        some = range(start, min(start + 10, MANY.stop))
        await world.change("m1", some)
        for seq in some:
            await quick.hears("balance", seq, "tap")


async def test_a_client_that_is_too_slow_is_closed(hasty: World) -> None:
    narrow = narrow_socket(hasty.feed.port)
    async with hasty.client("m1", sock=narrow, max_queue=1) as slow, hasty.client("m1") as quick:
        await slow.hears("snapshot", 1)
        await quick.hears("snapshot", 1)
        await change_and_hear(hasty, quick)
        await eventually(lambda: len(hasty.feed) == 1)


async def test_a_client_that_was_too_slow_gets_the_code(valkey: Redis, balances: Balances) -> None:
    timeouts = replace(NO_PATIENCE, close_s=30)
    async with running_feed(valkey, balances, timeouts=timeouts) as world:
        await world.ready()
        narrow = narrow_socket(world.feed.port)
        async with world.client("m1", sock=narrow, max_queue=1) as slow, world.client("m1") as quick:
            await slow.hears("snapshot", 1)
            await quick.hears("snapshot", 1)
            await change_and_hear(world, quick)
            await eventually(lambda: world.closing() == 1)
            assert await slow.reads_to_the_end() == (1013, "too slow")


# Parts that go away.


async def test_a_restart_closes_every_connection_with_its_code(valkey: Redis, balances: Balances) -> None:
    async with AsyncExitStack() as open_:
        async with running_feed(valkey, balances) as world:
            clients = [await open_.enter_async_context(world.client(who)) for who in ("m1", "m2", None)]
            await clients[0].hears("snapshot", 1)
            await clients[1].hears("snapshot", 1)
        for client in clients:
            assert await client.closed() == (1012, "restarting")


async def test_a_restart_waits_for_no_silent_client(valkey: Redis, balances: Balances) -> None:
    async with running_feed(valkey, balances, timeouts=NO_PATIENCE) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.feed.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: feed\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            b"Authorization: Bearer token of m1\r\n\r\n"
        )
        await reader.readuntil(b"snapshot")
    writer.close()


async def test_a_client_waits_for_the_database(world: World) -> None:
    world.balances.away = True
    async with world.client("m1") as client:
        await eventually(lambda: world.balances.refused > 2)
        await world.change("m1", [2])
        world.balances.away = False
        await client.hears("snapshot", 2)


async def test_a_client_waits_for_the_database_only_so_long(
    hasty: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engage.feed.reader.LAST_RETRY_S", 0.1)
    hasty.balances.away = True
    async with hasty.client("m1") as client:
        assert await client.closed() == (1013, "try again later")
    hasty.balances.away = False
    async with hasty.client("m1") as client:
        await client.hears("snapshot", 1)


async def test_changes_missed_during_an_outage_of_valkey_arrive_afterwards(
    balances: Balances, tmp_path: Path
) -> None:
    async with (
        own_valkey(tmp_path) as server,
        Redis(port=server.port) as client_of_it,
        running_feed(client_of_it, balances) as world,
        world.client("m1") as client,
        world.client("m2") as other,
    ):
        await world.ready()
        await client.hears("snapshot", 1)
        await other.hears("snapshot", 1)
        await server.kill()
        balances.change("m1", 2)  # And nobody can tell.
        async with world.client() as late:
            await late.says(type="auth", ticket="any")
            assert await late.closed() == (1013, "try again later")
        await server.start()
        await client.hears("balance", 2, "resync")
        await world.change("m1", [3])
        await world.change("m2", [2])
        await client.hears("balance", 3, "tap")
        await other.hears("balance", 2, "tap")  # Who missed nothing was told nothing.


# Health.


async def test_health(world: World) -> None:
    assert await world.get("/health/live") == (200, {"status": "ok"})
    parts = {"valkey": True, "postgres": True}
    assert await world.get("/health/ready?verbose") == (200, {"status": "ok", "parts": parts})


async def test_readiness_names_the_part_that_is_down(balances: Balances) -> None:
    balances.away = True
    async with Redis(port=1) as nobody, running_feed(nobody, balances) as world:
        parts = {"valkey": False, "postgres": False}
        assert await world.get("/health/ready") == (503, {"status": "unavailable", "parts": parts})
        assert (await world.get("/health/live"))[0] == 200
        async with world.client("m1") as client:
            balances.away = False
            await client.hears("snapshot", 1)
