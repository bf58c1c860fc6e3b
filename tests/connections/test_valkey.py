"""Connections to Valkey that are dead without a word are replaced within the time of one answer."""

import asyncio
import time
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import DataError, ResponseError

from engage.connections.valkey import ANSWER_S, TRY_S, answering, away_is_unavailable, open_client
from engage.domain.refusals import Unavailable
from engage.settings import Settings
from engage.signals.doorbell import open_queue
from tests.support.proxy import proxy_to_valkey


@pytest.mark.usefixtures("real_time_limits")
async def test_a_dead_connection_is_replaced_within_one_answer(settings: Settings) -> None:
    async with proxy_to_valkey(settings.topics_url) as (proxy, url):
        client, queue = open_client(Redis, url), open_queue(url)
        for ask in (client.ping, queue.ping):
            await ask()
            proxy.forget()
            began, opened = time.monotonic(), proxy.opened
            async with answering():
                await ask()
            assert TRY_S * 0.9 < time.monotonic() - began < ANSWER_S
            assert proxy.opened == opened + 1
        await client.aclose()
        await queue.aclose()


@pytest.mark.usefixtures("real_time_limits")
async def test_a_job_can_be_queued_after_a_silence_and_no_connection_is_forgotten(settings: Settings) -> None:
    async with proxy_to_valkey(settings.queue_url) as (proxy, url):
        queue = open_queue(url)
        await queue.ping()
        with proxy.silent():
            began = time.monotonic()
            with pytest.raises(Unavailable):
                async with answering():
                    await queue.enqueue_job("settle", 1, _job_id="settle:1")
            assert time.monotonic() - began < ANSWER_S + 2 * TRY_S + 0.5
        async with answering():
            assert await queue.enqueue_job("settle", 1, _job_id="settle:1") is not None
        assert queue.connection_pool._in_use_connections == set()
        await queue.aclose()


async def test_a_connection_that_uvloop_has_closed_is_replaced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server closes a connection just after redis-py has looked: uvloop then raises RuntimeError."""

    async def do_not_look(_connection: object) -> None:
        pass

    async def lose_connection(client: Redis) -> None:
        await client.ping()
        (connection,) = client.connection_pool._available_connections
        assert connection._writer is not None
        connection._writer.transport.abort()
        await asyncio.sleep(0)
        monkeypatch.setattr(client.connection_pool, "ensure_connection", do_not_look)

    async def use() -> tuple[bool, str]:
        ours = open_client(Redis, settings.topics_url)
        await lose_connection(ours)
        answered = bool(await ours.ping())
        await ours.aclose()
        others = Redis.from_url(settings.topics_url, socket_connect_timeout=1)
        await lose_connection(others)
        try:
            async with answering():
                await others.ping()
        except Unavailable as error:
            return answered, type(error.__cause__).__name__
        finally:
            await others.aclose()
        return answered, ""

    assert await asyncio.to_thread(uvloop.run, use()) == (True, "RuntimeError")


@pytest.mark.parametrize(
    "message",
    [
        "unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed",
        "Cannot call write() after the transport is closed",
    ],
)
def test_an_operation_on_a_closed_transport_is_unavailable(message: str) -> None:
    with pytest.raises(Unavailable), away_is_unavailable():
        raise RuntimeError(message)


def test_another_runtime_error_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="of a bug"), away_is_unavailable():
        raise RuntimeError("of a bug")


@pytest.mark.parametrize(
    "message", ["MISCONF Errors writing to the AOF file", "BUSY Valkey is busy running a script"]
)
def test_a_server_that_cannot_serve_now_is_unavailable(message: str) -> None:
    with pytest.raises(Unavailable), away_is_unavailable():
        raise ResponseError(message)


async def test_a_queue_without_the_replicas_that_it_needs_is_unavailable(settings: Settings) -> None:
    queue = open_queue(settings.queue_url)
    await queue.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(Unavailable):
            async with answering():
                await queue.enqueue_job("settle", 1, _job_id="settle:1")
    finally:
        await queue.config_set("min-replicas-to-write", 0)
        await queue.aclose()


async def test_a_wrong_command_of_a_pipeline_is_a_bug(settings: Settings) -> None:
    async with Redis.from_url(settings.state_url) as valkey:
        pipeline = valkey.pipeline(transaction=True)
        pipeline.execute_command("SET", "BUSY")
        with pytest.raises(ResponseError):
            async with answering():
                await pipeline.execute()


def test_a_command_that_the_server_does_not_understand_is_a_bug() -> None:
    with pytest.raises(ResponseError), away_is_unavailable():
        raise ResponseError("ERR unknown command")


async def test_commands_are_packed_as_redis_py_packs_them(settings: Settings) -> None:
    client = open_client(Redis, settings.topics_url)
    packing: Any = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    command = ("FUNCTION LOAD", "REPLACE", "tapé", b"\x00\r\n$", 17, -1, 0.5, "", b"x" * 10_000)
    assert b"".join(packing.pack_command(*command)) == b"".join(
        AbstractConnection.pack_command(packing, *command)
    )
    with pytest.raises(DataError):
        packing.pack_command("SET", "key", None)
    await client.aclose()
