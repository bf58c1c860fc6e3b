"""Connections to PostgreSQL, and the errors of a server that is away or cannot serve now."""

import asyncio
import time
from functools import partial
from typing import Any, Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.connectors.asyncio import AsyncAdapt_Error
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from engage.connections.logins import Login, Logins, Url
from engage.connections.primary import PART, Connection, Primary
from engage.connections.schema_version import begin_use
from engage.connections.sockets import (
    KEEPALIVE_COUNT,
    KEEPALIVE_IDLE_S,
    KEEPALIVE_INTERVAL_S,
    UNACKNOWLEDGED_MS,
    is_of_closed_transport,
)

CONNECT_S: Final = 2.0
POOL_S: Final = 5.0

# A connection that was idle for IDLE_S is asked for a sign of life before it is used: it may be dead. In use,
# a connection is tested by its statements.
IDLE_S: Final = 1.0
TEST_S: Final = 1.0

# A statement whose client is gone ends after this time.
GONE_MS: Final = 1_000

# A transaction in which the client is silent for this time is ended, with its locks: the client may be gone.
SILENT_IN_TRANSACTION_S: Final = 15

# SQLSTATEs, or their first characters, of a server that cannot do now what it can do later. With the reason.
CANNOT_NOW: Final = {
    "08": "the connection was lost, or could not be made",
    "25006": "the server is read-only: a standby, after a failover",
    "25P03": "this client was silent in a transaction for too long",
    "25P04": "a transaction took longer than it may",
    "26000": "the server has forgotten a prepared statement: a pooler gave us another one after a failover",
    "28": "the server does not accept the password: it is being changed",
    "3D000": "the database is not there yet",
    "40001": "concurrent transactions could not be put into an order",
    "40P01": "a deadlock",
    "53": "no disk, memory or connections are left",
    "55P03": "a lock was not free in time",
    "57": "an operator cancelled the statement, or the server starts or stops",
    "58": "the server's system failed, such as its disk",
}

# Of these, errors after which another connection may do better. The server ends the others itself.
_CONNECTION_IS_NO_USE: Final = ("25006", "26000")

# Types of errors that say the same without a SQLSTATE. OSError includes TimeoutError.
_CANNOT_NOW_TYPES: Final = (
    OSError,
    InterfaceError,
    OperationalError,
    PoolTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidCachedStatementError,  # The tables were changed a moment ago.
    asyncpg.TargetServerAttributeNotMatched,  # None of the hosts is the one that the URL asks for.
)


def cannot_now(error: BaseException) -> bool:
    """True for an error of a database that is away or cannot serve now. A request may be repeated."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    of_driver = _of_driver(error)
    if isinstance(error, _CANNOT_NOW_TYPES) or isinstance(of_driver, _CANNOT_NOW_TYPES):
        return True
    match of_driver:
        case asyncpg.InternalClientError():
            # The server shut down while the connection was idle, and the driver has not read its message yet.
            return "cannot switch to state" in str(of_driver)
        case RuntimeError():
            return is_of_closed_transport(of_driver)
    return str(getattr(of_driver, "sqlstate", None) or "").startswith(tuple(CANNOT_NOW))


def _of_driver(error: BaseException) -> BaseException:
    """The error of asyncpg, which SQLAlchemy wraps in one of its adapter, and that in one of its own."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, AsyncAdapt_Error) and error.__cause__ is not None:
        return error.__cause__
    return error


def open_engine(
    url: Url,
    *,
    pool_size: int,
    command_timeout_s: float | None,
    any_schema: bool = False,
    primary: Primary | None = None,
) -> AsyncEngine:
    """Open an engine whose connections do not wait for a silent server. Connects when first used.

    The URL names one host or several, of which the primary is used; `primary` is told of it. Each connection
    is made with the user and the password that the URL has then.
    `command_timeout_s` None: statements may take any time. Unless `any_schema`, each connection is made only
    while the tables have the version of this release, and raises Unavailable("schema") otherwise.
    """
    primary, logins = primary or Primary(), Logins(PART, url, _login_of)
    db = create_async_engine(
        logins.url,
        hide_parameters=True,  # Errors would show values of rows.
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_S,
        pool_use_lifo=True,  # Few connections are busy, instead of all of them now and then.
        connect_args={
            "async_creator_fn": partial(_connect, primary, logins, any_schema),
            "timeout": CONNECT_S,
            "command_timeout": command_timeout_s,
            "server_settings": _server_settings(command_timeout_s),
        },
    )
    engine = db.sync_engine
    # Without it, SQLAlchemy says goodbye to a dead server, and waits two seconds for an answer.
    engine.dialect.do_terminate = _abort  # type: ignore[method-assign]
    event.listen(engine, "handle_error", _drop_if_no_use)
    event.listen(engine.pool, "checkin", _note_use)
    event.listen(engine.pool, "checkout", partial(_test_if_idle, primary))
    return db


def _server_settings(command_timeout_s: float | None) -> dict[str, str]:
    settings = {
        "application_name": "engage",
        "jit": "off",  # Statements are short: compiling them never pays.
        "timezone": "UTC",
        # The server, too, notices that its client is gone, and frees its locks.
        "tcp_keepalives_idle": str(KEEPALIVE_IDLE_S),
        "tcp_keepalives_interval": str(KEEPALIVE_INTERVAL_S),
        "tcp_keepalives_count": str(KEEPALIVE_COUNT),
        "tcp_user_timeout": str(UNACKNOWLEDGED_MS),
        "client_connection_check_interval": f"{GONE_MS}ms",
    }
    if command_timeout_s is not None:
        settings["idle_in_transaction_session_timeout"] = f"{SILENT_IN_TRANSACTION_S}s"
        # A little later than we give up: a statement of a client that is gone ends too.
        settings["statement_timeout"] = f"{int(command_timeout_s * 1_000) + 1_000}ms"
    return settings


def _login_of(url: str) -> Login:
    parts = make_url(url)
    return Login(parts.username, parts.password)


async def _connect(primary: Primary, logins: Logins, any_schema: bool, **options: Any) -> Connection:
    connection = await primary.connect(logins, **options)
    try:
        if not any_schema:
            async with asyncio.timeout(CONNECT_S):
                await begin_use(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


def _abort(dbapi_connection: Any) -> None:
    dbapi_connection.driver_connection.terminate()


def _drop_if_no_use(context: ExceptionContext) -> None:
    """Drop the connection of an error after which its state is unknown, or with which nothing can be done."""
    error = _of_driver(context.original_exception)
    unknown_state = isinstance(error, OSError | RuntimeError | asyncpg.InternalClientError)
    if unknown_state or getattr(error, "sqlstate", None) in _CONNECTION_IS_NO_USE:
        context.is_disconnect = True


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _test_if_idle(primary: Primary, dbapi_connection: Any, record: Any, _proxy: Any) -> None:
    """Raises InvalidatePoolError for a connection that is dead, or leads to a server that is the primary no
    more: SQLAlchemy replaces it, and all others.
    """
    if dbapi_connection.driver_connection.is_closed():
        raise InvalidatePoolError("the server has ended it")
    if not primary.is_surveyed:
        dbapi_connection.run_async(lambda _: primary.survey())
    if dbapi_connection.driver_connection.timeline != primary.newest:
        raise InvalidatePoolError("another server is the primary")
    used_at = record.info.get("used_at")
    if used_at is None or time.monotonic() - used_at < IDLE_S:
        return
    try:
        dbapi_connection.run_async(_test)
    except Exception as error:
        raise InvalidatePoolError("no sign of life") from error


async def _test(driver: asyncpg.Connection) -> None:
    async with asyncio.timeout(TEST_S):
        await driver.fetchrow(";")
