"""The feed over real sockets and a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from engage.feed.connection import Connection
from engage.feed.hub import SOCKETS_PER_MEMBER
from engage.feed.messages import MESSAGE_BYTES
from engage.feed.session import Timeouts
from engage.signals.changes import topic
from tests.feed.feeds import (
    PROGRAM,
    SHORT_TIMEOUTS,
    TOKEN_S,
    Balances,
    Client,
    RunningFeed,
    identity,
    narrow_socket,
    running_feed,
)
from tests.support.eventually import WITHIN_S, eventually
from tests.support.topics import topics_of
from tests.support.valkey import own_valkey

# More changes than the buffers between a publisher and a client can take.
MANY = range(2, 3_000)


@pytest.fixture
async def balances() -> Balances:
    balances = Balances()
    balances.change("m1", 1)
    balances.change("m2", 1)
    return balances


@pytest.fixture
async def running(valkey: Redis, balances: Balances) -> AsyncIterator[RunningFeed]:
    async with running_feed(valkey, balances) as running:
        await running.ready()
        yield running


@pytest.fixture
async def impatient(valkey: Redis, balances: Balances) -> AsyncIterator[RunningFeed]:
    """A feed with short timeouts."""
    async with running_feed(valkey, balances, timeouts=SHORT_TIMEOUTS) as running:
        await running.ready()
        yield running


# Balances.


async def test_a_client_gets_a_snapshot_and_then_each_change(running: RunningFeed) -> None:
    async with running.client("m1") as client:
        await client.expect("snapshot", 1)
        await running.change("m1", [2, 3])
        await client.expect("balance", 2, "tap")
        await client.expect("balance", 3, "tap")


async def test_every_connection_of_a_member_gets_that_members_changes_only(running: RunningFeed) -> None:
    async with running.client("m1") as phone, running.client("m1") as tablet, running.client("m2") as other:
        for client in (phone, tablet, other):
            await client.expect("snapshot", 1)
        await running.change("m1", [2])
        await running.change("m2", [3])
        await phone.expect("balance", 2, "tap")
        await tablet.expect("balance", 2, "tap")
        await other.expect("balance", 3, "tap")


async def test_two_feeds_push_the_same_changes(valkey: Redis, balances: Balances) -> None:
    async with running_feed(valkey, balances) as first, running_feed(valkey, balances) as second:
        await first.ready()
        await second.ready()
        async with first.client("m1") as phone, second.client("m1") as tablet:
            await phone.expect("snapshot", 1)
            await tablet.expect("snapshot", 1)
            await first.change("m1", [2])
            await phone.expect("balance", 2, "tap")
            await tablet.expect("balance", 2, "tap")
        assert len(await first.topics.read_heartbeats("feed")) == 1  # Both run in this process.
    async with topics_of(valkey) as topics:
        assert await topics.read_heartbeats("feed") == []


async def test_a_resume_is_answered_with_the_current_balance(running: RunningFeed) -> None:
    async with running.client("m1") as client:
        await client.expect("snapshot", 1)
        await running.change("m1", [2, 3])
    async with running.client("m1") as client:
        await client.send(type="resume", seq=1)
        message = await client.receive()
        if message["type"] == "snapshot":  # It was sent before the resume was received.
            message = await client.receive()
        assert (message["type"], message["seq"], message["cause"]) == ("balance", 3, "resume")


async def test_a_resume_that_comes_with_the_ticket_replaces_the_snapshot(running: RunningFeed) -> None:
    ticket, _ = await running.topics.issue_ticket(identity("m1"))
    running.balances.away = True
    async with running.client() as client:
        await client.send(type="auth", ticket=ticket)
        await client.send(type="resume", seq=0)
        await eventually(lambda: running.balances.refused > 2)
        running.balances.away = False
        await client.expect("balance", 1, "resume")


async def test_clients_that_connect_at_once_share_a_read(running: RunningFeed) -> None:
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        for number in range(200):
            running.balances.change(f"m{number}", number)
            group.create_task(connect_and_leave(running, f"m{number}", number))
    assert sum(map(len, running.balances.reads)) == 200
    assert len(running.balances.reads) < 100


async def connect_and_leave(running: RunningFeed, member_id: str, seq: int) -> None:
    async with running.client(member_id) as client:
        await client.expect("snapshot", seq)


async def test_ended_connections_are_removed(running: RunningFeed) -> None:
    async with running.client("m1") as client, running.client("m1") as other, running.client() as third:
        await client.expect("snapshot", 1)
        await other.expect("snapshot", 1)
        assert len(running.feed) == 3
        client.connection.transport.abort()
        await third.connection.close()
        await eventually(lambda: len(running.feed) == 1)
        await running.change("m1", [2])
        await other.expect("balance", 2, "tap")
    await eventually(lambda: len(running.feed) == 0)


# Credentials.


async def test_a_ticket_is_valid_once(running: RunningFeed) -> None:
    ticket, _ = await running.topics.issue_ticket(identity("m1"))
    async with running.client() as client:
        await client.send(type="auth", ticket=ticket)
        await client.expect("snapshot", 1)
        await running.change("m1", [2])
        await client.expect("balance", 2, "tap")
    async with running.client() as client:
        await client.send(type="auth", ticket=ticket)
        assert await client.closed() == (3000, "bad credentials")


async def test_an_expired_ticket_is_refused(running: RunningFeed, valkey: Redis) -> None:
    ticket, _ = await running.topics.issue_ticket(identity("m1"))
    [key] = await valkey.keys("engage:ticket:*")
    await valkey.pexpire(key, 0)
    async with running.client() as client:
        await client.send(type="auth", ticket=ticket)
        assert await client.closed() == (3000, "bad credentials")


@pytest.mark.parametrize("credentials", ["Bearer of bad news", "Basic token of m1", "Bearer", "", "Bearer "])
async def test_bad_credentials_are_refused(running: RunningFeed, credentials: str) -> None:
    async with running.client(additional_headers={"Authorization": credentials}) as client:
        assert await client.closed() == (3000, "bad credentials")


async def test_two_credentials_are_refused_and_the_log_says_why(running: RunningFeed) -> None:
    both = [("Authorization", "Bearer token of m1"), ("Authorization", "Bearer token of m2")]
    with capture_logs() as lines:
        async with running.client(additional_headers=both) as client:
            assert await client.closed() == (3000, "bad credentials")
    found = [line for line in lines if line["event"] == "credentials were refused"]
    assert [line["reason"] for line in found] == ["another authorization than one bearer token"]
    assert "token of m1" not in str(lines)


async def test_a_scheme_may_be_written_in_any_case(running: RunningFeed) -> None:
    async with running.client(additional_headers={"Authorization": "bearer token of m1"}) as client:
        await client.expect("snapshot", 1)


async def test_a_connection_waits_while_the_key_of_its_token_is_looked_for(
    valkey: Redis, balances: Balances
) -> None:
    patient = running_feed(valkey, balances, timeouts=Timeouts(auth_s=WITHIN_S))
    async with patient as running, running.client("m1") as known:
        await known.expect("snapshot", 1)
        running.tokens.found.clear()
        async with running.client("m2") as waiting:
            await running.change("m1", [2])
            await known.expect("balance", 2, "tap")
            running.tokens.found.set()
            await waiting.expect("snapshot", 1)


async def test_a_connection_ends_with_its_token(impatient: RunningFeed) -> None:
    impatient.tokens.ends_in_s = 5
    async with impatient.client("m1") as client:
        await client.expect("snapshot", 1)
        assert await client.closed() == (3000, "token expired")


async def test_new_credentials_keep_a_connection_open(running: RunningFeed) -> None:
    first, _ = await running.topics.issue_ticket(identity("m1"))
    later, _ = await running.topics.issue_ticket(identity("m1", ends_in_s=10 * TOKEN_S))
    async with running.client("m1") as kept, running.client() as other:
        await other.send(type="auth", ticket=first)
        for client in (kept, other):
            await client.expect("snapshot", 1)
        later_than = asyncio.get_running_loop().time() + 2 * TOKEN_S
        await kept.send(type="auth", ticket=later)
        await eventually(lambda: max(running.feed._hub._ending) > later_than)
        running.feed._hub.tick(later_than)
        assert await other.closed() == (3000, "token expired"), "the token that got its ticket"
        await running.change("m1", [2])
        await kept.expect("balance", 2, "tap")
        await kept.send(type="auth", ticket=later)
        assert await kept.closed() == (3000, "bad credentials"), "a ticket is valid once"


async def test_credentials_of_another_member_end_a_connection(running: RunningFeed) -> None:
    ticket, _ = await running.topics.issue_ticket(identity("m2"))
    async with running.client("m1") as client:
        await client.expect("snapshot", 1)
        await client.send(type="auth", ticket=ticket)
        assert await client.closed() == (3000, "bad credentials")


async def test_a_connection_ends_when_its_key_is_withdrawn(running: RunningFeed) -> None:
    ticket, _ = await running.topics.issue_ticket(identity("m1", key="another"))
    async with running.client("m1") as client, running.client() as other:
        await client.expect("snapshot", 1)
        await other.send(type="auth", ticket=ticket)
        await other.expect("snapshot", 1)
        running.tokens.gone = {"another"}
        await running.feed._check_keys()
        assert await other.closed() == (3000, "key withdrawn")
        await running.change("m1", [2])
        await client.expect("balance", 2, "tap")


async def test_nothing_is_left_of_ended_connections(running: RunningFeed) -> None:
    async with running.client("m1") as client:
        await client.expect("snapshot", 1)
        assert len(running.feed._hub._ending) == 1
    await eventually(lambda: len(running.feed) == 0)
    assert running.feed._hub._ending == {}


async def test_an_unknown_member_is_refused(running: RunningFeed) -> None:
    async with running.client("nobody") as client:
        assert await client.closed() == (3000, "unknown member")


async def test_a_connection_without_credentials_is_closed(impatient: RunningFeed) -> None:
    async with impatient.client() as client:
        assert await client.closed() == (3000, "no credentials")


@pytest.mark.parametrize("first", ['{"type":"resume","seq":1}', "garbage", b"\xff\xfe", '{"type":"auth"}'])
async def test_the_first_message_has_to_authenticate(running: RunningFeed, first: str | bytes) -> None:
    async with running.client() as client:
        await client.connection.send(first)
        assert await client.closed() == (3000, "authenticate first")


@pytest.mark.parametrize("more", ['{"type":"auth"}', "garbage", b"\xff\xfe", '{"seq":1}'])
async def test_an_unexpected_message_closes_the_connection(running: RunningFeed, more: str | bytes) -> None:
    async with running.client("m1") as client:
        await client.expect("snapshot", 1)
        await client.connection.send(more)
        assert await client.closed() == (1008, "unexpected message")


async def test_a_message_that_is_too_long_closes_the_connection(running: RunningFeed) -> None:
    async with running.client("m1") as client:
        await client.expect("snapshot", 1)
        await client.connection.send(b"x" * (MESSAGE_BYTES + 1))
        assert (await client.closed())[0] == 1009


async def test_one_connection_too_many_closes_the_oldest(running: RunningFeed) -> None:
    async with AsyncExitStack() as open_:
        oldest = await open_.enter_async_context(running.client("m1"))
        await oldest.expect("snapshot", 1)
        others = [await open_.enter_async_context(running.client("m1")) for _ in range(SOCKETS_PER_MEMBER)]
        assert await oldest.closed() == (1008, "too many connections")
        for client in others:
            await client.expect("snapshot", 1)
        await running.change("m1", [2])
        for client in others:
            await client.expect("balance", 2, "tap")


async def test_a_full_feed_refuses_before_the_handshake(valkey: Redis, balances: Balances) -> None:
    async with running_feed(valkey, balances, connections=1) as running, running.client("m1") as client:
        await client.expect("snapshot", 1)
        with pytest.raises(InvalidStatus) as refused:
            async with running.client("m2"):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "5"


async def test_silent_connections_give_way_and_members_stay(valkey: Redis, balances: Balances) -> None:
    async with running_feed(valkey, balances, connections=4) as running, running.client("m1") as member:
        await member.expect("snapshot", 1)
        silent = [await asyncio.open_connection("127.0.0.1", running.feed.port) for _ in range(20)]
        async with running.client("m2") as other:
            await other.expect("snapshot", 1)
            ended = await asyncio.gather(
                *(reader.read(1) for reader, _ in silent[:16]), return_exceptions=True
            )
            assert all(end == b"" or isinstance(end, OSError) for end in ended)
            await running.change("m1", [2])
            await member.expect("balance", 2, "tap")
        for _, writer in silent:
            writer.close()


# Slow clients.


async def test_a_slow_client_skips_states_and_never_sees_a_wrong_one(running: RunningFeed) -> None:
    options = {"sock": narrow_socket(running.feed.port), "max_queue": 1}
    async with running.client("m1", **options) as slow, running.client("m1") as quick:
        await slow.expect("snapshot", 1)
        await quick.expect("snapshot", 1)
        await change_and_receive(running, quick)
        seqs = [(await slow.receive())["seq"]]
        while seqs[-1] != MANY[-1]:
            seqs.append((await slow.receive())["seq"])
        assert seqs == sorted(set(seqs))
        assert len(seqs) < len(MANY) / 2
        # It has caught up, so it gets each change again.
        await running.change("m1", [MANY[-1] + 1])
        await slow.expect("balance", MANY[-1] + 1, "tap")


async def change_and_receive(running: RunningFeed, quick: Client) -> None:
    """Publish MANY changes in groups; the quick client receives each group before the next."""
    for start in range(MANY.start, MANY.stop, 10):
        seqs = range(start, min(start + 10, MANY.stop))
        await running.change("m1", seqs)
        for seq in seqs:
            await quick.expect("balance", seq, "tap")


async def test_a_client_that_is_too_slow_is_closed(impatient: RunningFeed) -> None:
    narrow = narrow_socket(impatient.feed.port)
    async with impatient.client("m1", sock=narrow, max_queue=1) as slow, impatient.client("m1") as quick:
        await slow.expect("snapshot", 1)
        await quick.expect("snapshot", 1)
        await change_and_receive(impatient, quick)
        await eventually(lambda: len(impatient.feed) == 1)


async def test_a_client_that_was_too_slow_gets_the_code(valkey: Redis, balances: Balances) -> None:
    timeouts = replace(SHORT_TIMEOUTS, close_s=30)
    async with running_feed(valkey, balances, timeouts=timeouts) as running:
        await running.ready()
        narrow = narrow_socket(running.feed.port)
        async with running.client("m1", sock=narrow, max_queue=1) as slow, running.client("m1") as quick:
            await slow.expect("snapshot", 1)
            await quick.expect("snapshot", 1)
            await change_and_receive(running, quick)
            await eventually(lambda: running.closing() == 1)
            assert await slow.read_to_the_end() == (1013, "too slow")


# Clients that are gone.


async def test_a_client_that_answers_no_ping_is_closed(valkey: Redis, balances: Balances) -> None:
    timeouts = replace(SHORT_TIMEOUTS, close_s=30)
    async with running_feed(valkey, balances, timeouts=timeouts, keepalive_s=1) as running:
        await running.ready()
        async with running.client("m1") as gone:
            await gone.expect("snapshot", 1)
            gone.connection.transport.pause_reading()
            await eventually(lambda: running.closing() == 1)
            gone.connection.transport.resume_reading()
            assert await gone.closed() == (1011, "keepalive ping timeout")


async def test_a_pong_answers_a_ping(running: RunningFeed) -> None:
    async with running.client("m1") as client:
        await client.expect("snapshot", 1)
        (connection,) = running.feed._hub._sockets
        assert isinstance(connection, Connection)
        connection.send_ping()
        assert connection.awaits_pong
        await eventually(lambda: not connection.awaits_pong)


# Restarts and outages.


async def test_a_restart_closes_every_connection_with_its_code(valkey: Redis, balances: Balances) -> None:
    async with AsyncExitStack() as open_:
        async with running_feed(valkey, balances) as running:
            clients = [
                await open_.enter_async_context(running.client(member)) for member in ("m1", "m2", None)
            ]
            await clients[0].expect("snapshot", 1)
            await clients[1].expect("snapshot", 1)
        for client in clients:
            assert await client.closed() == (1012, "restarting")


async def test_a_restart_waits_for_no_silent_client(valkey: Redis, balances: Balances) -> None:
    async with running_feed(valkey, balances, timeouts=SHORT_TIMEOUTS) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.feed.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: feed\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            b"Authorization: Bearer token of m1\r\n\r\n"
        )
        await reader.readuntil(b"snapshot")
    writer.close()


async def test_a_client_waits_for_the_database(running: RunningFeed) -> None:
    running.balances.away = True
    async with running.client("m1") as client:
        await eventually(lambda: running.balances.refused > 2)
        await running.change("m1", [2])
        running.balances.away = False
        await client.expect("snapshot", 2)


async def test_an_error_of_a_read_closes_its_clients_alone(running: RunningFeed) -> None:
    """Such as that of a bug: the feed used to end, with all its connections."""
    async with running.client("m1") as client:
        await client.expect("snapshot", 1)
        running.balances.error = ZeroDivisionError("of a bug")
        async with running.client("m2") as other:
            assert await other.closed() == (1013, "try again later")
        async with running.client("m2") as other:
            await other.expect("snapshot", 1)
        await running.change("m1", [2])
        await client.expect("balance", 2, "tap")


async def test_an_error_of_the_changes_closes_nobody(running: RunningFeed, valkey: Redis) -> None:
    async with running.client("m1") as client:
        await client.expect("snapshot", 1)
        running.balances.change("m1", 2)
        await valkey.execute_command("SPUBLISH", topic(PROGRAM, "m1"), b"not what a process publishes")  # type: ignore[no-untyped-call]
        await client.expect("balance", 2, "resync")
        await running.change("m1", [3])
        await client.expect("balance", 3, "tap")


async def test_a_client_waits_for_the_database_only_so_long(
    impatient: RunningFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engage.runtime.background.LAST_DELAY_S", 0.1)
    impatient.balances.away = True
    async with impatient.client("m1") as client:
        assert await client.closed() == (1013, "try again later")
    impatient.balances.away = False
    async with impatient.client("m1") as client:
        await client.expect("snapshot", 1)


async def test_changes_missed_during_an_outage_of_valkey_arrive_afterwards(
    balances: Balances, tmp_path: Path
) -> None:
    async with (
        own_valkey(tmp_path) as server,
        Redis(port=server.port) as valkey,
        running_feed(valkey, balances) as running,
        running.client("m1") as client,
        running.client("m2") as other,
    ):
        await running.ready()
        await client.expect("snapshot", 1)
        await other.expect("snapshot", 1)
        await server.kill()
        balances.change("m1", 2)  # Nobody publishes this change.
        async with running.client() as late:
            await late.send(type="auth", ticket="any")
            assert await late.closed() == (1013, "try again later")
        await server.start()
        await client.expect("balance", 2, "resync")
        await running.change("m1", [3])
        await running.change("m2", [2])
        await client.expect("balance", 3, "tap")
        await other.expect("balance", 2, "tap")  # It missed nothing, so it got no resync.


# Health.


async def test_health_is_ok_while_all_parts_are_up(running: RunningFeed) -> None:
    assert await running.get("/health/live") == (200, {"status": "ok"})
    parts = {"valkey": True, "postgres": True}
    body = {"status": "ok", "parts": parts, "problems": []}
    assert await running.get("/health/ready?verbose") == (200, body)


async def test_readiness_names_the_part_that_is_down(balances: Balances) -> None:
    balances.away = True
    async with Redis(port=1) as unreachable, running_feed(unreachable, balances) as running:
        parts = {"valkey": False, "postgres": False}
        body = {"status": "unavailable", "parts": parts, "problems": []}
        assert await running.get("/health/ready") == (503, body)
        assert (await running.get("/health/live"))[0] == 200
        async with running.client("m1") as client:
            balances.away = False
            await client.expect("snapshot", 1)
