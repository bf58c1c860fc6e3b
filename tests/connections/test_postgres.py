"""Dead connections to PostgreSQL are replaced at once, and its errors of the moment are Unavailable."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.connections import postgres
from engage.connections.postgres import CANNOT_NOW, open_engine
from engage.direct_sql import DirectStatement
from engage.domain.refusals import Unavailable
from engage.runtime.database import one_statement, transaction
from engage.settings import Settings
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.proxy import Proxy, proxy_to_postgres

POOL_SIZE = 4
LOOKS = 20  # A request to cancel takes two or three of them.
LIMIT_S = 3.0  # More than an answer takes on a busy machine.
ONE = text("SELECT 1")
PID = text("SELECT pg_backend_pid()")
WRITE = text("DELETE FROM outbox")
SLEEP = DirectStatement(text("SELECT pg_sleep(:seconds)"))


class Database:
    """An engine that reaches PostgreSQL through a proxy, and one that does not need it."""

    def __init__(self, proxy: Proxy, db: AsyncEngine, direct: AsyncEngine) -> None:
        self.proxy = proxy
        self.db = db
        self.direct = direct

    async def fill_pool(self) -> None:
        """Open all connections of the pool."""

        async def hold_one() -> None:
            async with transaction(self.db) as conn:
                await conn.execute(ONE)
                await all_open.wait()

        all_open = asyncio.Barrier(POOL_SIZE)
        await asyncio.gather(*(hold_one() for _ in range(POOL_SIZE)))

    async def use(self) -> None:
        async with transaction(self.db) as conn:
            assert (await conn.execute(ONE)).scalar_one() == 1

    async def until_sleeping(self, count: int) -> None:
        """Wait until so many statements sleep on the server."""
        sleeping = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        async with asyncio.timeout(WITHIN_S):
            while True:
                async with one_statement(self.direct) as conn:
                    if (await conn.execute(sleeping)).scalar_one() == count:
                        return
                await asyncio.sleep(LOOK_AGAIN_S)


@pytest.fixture
async def database_behind_proxy(settings: Settings) -> AsyncIterator[Database]:
    async with proxy_to_postgres(settings) as (proxy, url):
        db = open_engine(url, pool_size=POOL_SIZE, command_timeout_s=LIMIT_S)
        direct = open_engine(settings.database_url, pool_size=1, command_timeout_s=WITHIN_S)
        yield Database(proxy, db, direct)
        await db.dispose()
        await direct.dispose()


async def test_a_dead_idle_connection_is_replaced_before_it_is_used(
    database_behind_proxy: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, dead = postgres._test, 0

    async def count_dead(driver: asyncpg.Connection) -> None:
        nonlocal dead
        try:
            await test(driver)
        except TimeoutError:
            dead += 1
            raise

    monkeypatch.setattr(postgres, "IDLE_S", 0.0)
    monkeypatch.setattr(postgres, "TEST_S", LIMIT_S)
    monkeypatch.setattr(postgres, "_test", count_dead)
    await database_behind_proxy.fill_pool()
    database_behind_proxy.proxy.forget()
    begun = time.monotonic()
    await database_behind_proxy.use()
    assert time.monotonic() - begun < LIMIT_S + 1
    assert dead == 1
    await database_behind_proxy.fill_pool()
    assert dead == 1, "all of the pool were replaced with the first"


async def test_statements_under_way_on_dead_connections_end_in_time_and_the_next_one_works(
    database_behind_proxy: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, proxy = database_behind_proxy.db, database_behind_proxy.proxy
    await database_behind_proxy.fill_pool()

    async def wait_for_silence() -> None:
        with pytest.raises(Unavailable):
            async with transaction(db) as conn:
                await conn.execute(text("SELECT pg_sleep(3600)"))

    async def say_goodbye(*_args: object, **_options: object) -> None:
        raise AssertionError("a dead server does not answer")

    monkeypatch.setattr(asyncpg.Connection, "close", say_goodbye)
    waiting = [asyncio.create_task(wait_for_silence()) for _ in range(POOL_SIZE - 1)]
    await database_behind_proxy.until_sleeping(POOL_SIZE - 1)
    begun = time.monotonic()
    proxy.forget()
    with pytest.raises(Unavailable):
        async with one_statement(db) as conn:
            await SLEEP.fetch(conn, {"seconds": 0.0})
    await asyncio.gather(*waiting)
    opened = proxy.opened
    await database_behind_proxy.use()
    assert proxy.opened == opened + 1
    assert time.monotonic() - begun < LIMIT_S + 2, "a time limit, and no farewell to a dead server"
    monkeypatch.undo()


async def test_a_statement_on_a_connection_in_use_costs_no_test(
    database_behind_proxy: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested = 0

    async def test(driver: asyncpg.Connection) -> None:
        nonlocal tested
        tested += 1
        await driver.fetchrow(";")

    monkeypatch.setattr(postgres, "_test", test)
    monkeypatch.setattr(postgres, "IDLE_S", WITHIN_S)
    for _ in range(20):
        await database_behind_proxy.use()
    assert tested == 0
    assert database_behind_proxy.proxy.opened == 1, "one connection was enough"
    monkeypatch.setattr(postgres, "IDLE_S", 0.0)
    await database_behind_proxy.use()
    assert tested == 1


@pytest.mark.usefixtures("real_time_limits")
async def test_both_ends_probe_a_silent_connection(database_behind_proxy: Database) -> None:
    async with transaction(database_behind_proxy.db) as conn:
        driver = (await conn.get_raw_connection()).driver_connection
        assert driver is not None
        connected = driver._transport.get_extra_info("socket")
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3_000
        shown = await conn.execute(text("SHOW idle_in_transaction_session_timeout"))
        assert shown.scalar_one() == "15s"


@pytest.mark.parametrize("sqlstate", sorted(state.ljust(5, "0") for state in CANNOT_NOW))
async def test_an_error_of_the_moment_is_unavailable(settings: Settings, sqlstate: str) -> None:
    db = open_engine(settings.database_url, pool_size=1, command_timeout_s=10)
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'now' USING ERRCODE = '{sqlstate}'; END $$"
    for opened in (transaction, one_statement):
        with pytest.raises(Unavailable) as raised:
            async with opened(db) as conn:
                await conn.execute(text(raising))
        assert raised.value.facts == {"part": "postgres", "retry_after_s": 1}
    with pytest.raises(Unavailable):
        async with one_statement(db) as conn:
            await DirectStatement(text(raising)).fetch(conn, {})
    await db.dispose()


@pytest.mark.parametrize("sqlstate", ["22012", "42703", "23505", "0A000", "P0001"])
async def test_an_error_of_a_statement_is_a_bug(settings: Settings, sqlstate: str) -> None:
    db = open_engine(settings.database_url, pool_size=1, command_timeout_s=10)
    raising = text(f"DO $$ BEGIN RAISE EXCEPTION 'a bug' USING ERRCODE = '{sqlstate}'; END $$")
    with pytest.raises(Exception, match="a bug") as raised:
        async with transaction(db) as conn:
            await conn.execute(raising)
    assert not isinstance(raised.value, Unavailable)
    await db.dispose()


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"),
        asyncpg.InvalidCachedStatementError("cached statement plan is invalid"),
        asyncpg.TargetServerAttributeNotMatched("none of the hosts"),
        RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_of_the_driver_is_unavailable_also_when_it_is_translated(
    settings: Settings, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = open_engine(settings.database_url, pool_size=1, command_timeout_s=10)

    async def fail(*_args: object, **_options: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg, "connect", fail)
        with pytest.raises(Unavailable):
            async with transaction(db) as conn:
                await conn.execute(ONE)
    async with transaction(db) as conn:
        pid = (await conn.execute(PID)).scalar_one()
    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Connection, "prepare", fail)
        with pytest.raises(Unavailable):
            async with transaction(db) as conn:
                await conn.execute(text("SELECT 2"))
    async with transaction(db) as conn:
        replaced = (await conn.execute(PID)).scalar_one() != pid
    assert replaced == (not isinstance(error, asyncpg.PostgresError)), "its state was unknown"
    await db.dispose()


async def test_the_connection_to_a_standby_is_dropped(settings: Settings) -> None:
    db = open_engine(settings.database_url, pool_size=1, command_timeout_s=10)
    for opened in (transaction, one_statement):
        async with one_statement(db) as conn:
            standby = (await conn.execute(PID)).scalar_one()
            await conn.execute(text("SET default_transaction_read_only = on"))
        with pytest.raises(Unavailable):
            async with opened(db) as conn:
                await conn.execute(WRITE)
        async with opened(db) as conn:
            await conn.execute(WRITE)
            assert (await conn.execute(PID)).scalar_one() != standby
    await db.dispose()


async def test_a_transaction_of_a_silent_client_ends_and_frees_its_locks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "SILENT_IN_TRANSACTION_S", 1)
    db = open_engine(settings.database_url, pool_size=2, command_timeout_s=10)

    async def stay_silent() -> None:
        async with transaction(db) as silent:
            await silent.execute(text("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE"))
            async with transaction(db) as other:
                await other.execute(WRITE)
            await silent.execute(ONE)

    with pytest.raises(Unavailable):
        await stay_silent()
    await db.dispose()


async def test_the_server_is_not_asked_to_cancel_a_statement_that_nobody_waits_for(
    settings: Settings,
) -> None:
    """A COMMIT that waits for a synchronous standby would become visible without being replicated."""
    state = text("SELECT state FROM pg_stat_activity WHERE pid = :pid")
    db = open_engine(settings.database_url, pool_size=2, command_timeout_s=None)
    async with one_statement(db) as conn, one_statement(db) as other:
        driver = (await conn.get_raw_connection()).driver_connection
        assert driver is not None
        waiting = {"pid": driver.get_server_pid()}
        asking = asyncio.create_task(driver.execute("SELECT pg_sleep(600)"))
        async with asyncio.timeout(WITHIN_S):
            while await other.scalar(state, waiting) != "active":
                await asyncio.sleep(LOOK_AGAIN_S)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        for _ in range(LOOKS):
            assert await other.scalar(state, waiting) == "active"
            await asyncio.sleep(LOOK_AGAIN_S)
        await conn.invalidate()
        async with asyncio.timeout(WITHIN_S):
            while await other.scalar(state, waiting) == "active":
                await asyncio.sleep(LOOK_AGAIN_S)
    await db.dispose()
