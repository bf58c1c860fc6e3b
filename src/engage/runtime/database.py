"""Transactions, and the errors of a database that cannot be reached: they become the refusal Unavailable."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from engage.domain.refusals import AccountClosed, Unavailable

CONNECT_TIMEOUT_S = 2.0
COMMAND_TIMEOUT_S = 10.0  # Apps wait for it, and a worker's job must end within 30 s.
POOL_TIMEOUT_S = 5.0

# Deadlocks, serialization failures, a server that starts or shuts down: the caller may retry.
_TRANSIENT = ("40P01", "40001", "57P01", "57P02", "57P03", "53300")

# The constraint by which closed accounts get no points.
_CLOSED_CHECK = "balances_closed_check"


def open_database(
    url: str, *, pool_size: int = 10, command_timeout_s: float | None = COMMAND_TIMEOUT_S
) -> AsyncEngine:
    """Opens an engine with a time limit for each statement. Connects when first used.

    `command_timeout_s` None: no limit, for a person at a terminal.
    """
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": command_timeout_s,
            # Statements are short: compiling them never pays.
            "server_settings": {"jit": "off", "application_name": "engage", "timezone": "UTC"},
        },
    )


@asynccontextmanager
async def transaction(db: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Opens a transaction; commits it at the end of the block, or rolls back when anything is raised.

    Flows that change balances use `open_posting` instead. Raises Unavailable, and AccountClosed if the
    account of a merged or erased member would get points.
    """
    with _unavailable_errors():
        async with db.begin() as conn:
            yield conn


@asynccontextmanager
async def snapshot(db: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Opens a read-only transaction that sees everything as of its first statement. Raises Unavailable."""
    with _unavailable_errors():
        async with db.connect() as conn:
            await conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with conn.begin():
                yield conn


@asynccontextmanager
async def one_statement(db: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Opens a connection that commits each statement, without the round trips of BEGIN and COMMIT.

    Raises Unavailable, AccountClosed.
    """
    with _unavailable_errors():
        async with _autocommit(db).connect() as conn:
            yield conn


@lru_cache(maxsize=8)
def _autocommit(db: AsyncEngine) -> AsyncEngine:
    """The same connection pool without transactions. Cached: making such an engine is slow."""
    return db.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def _unavailable_errors() -> Iterator[None]:
    try:
        yield
    except (InterfaceError, OperationalError, PoolTimeoutError, OSError, TimeoutError) as error:
        raise Unavailable("postgres") from error
    except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
        # From the driver, for a DirectStatement.
        raise Unavailable("postgres") from error
    except asyncpg.InternalClientError as error:
        # The server shut down while the connection was idle, and the driver has not read its message yet.
        if "cannot switch to state" in str(error):
            raise Unavailable("postgres") from error
        raise
    except asyncpg.PostgresError as error:
        if _is_transient(error.sqlstate):
            raise Unavailable("postgres") from error
        if isinstance(error, asyncpg.CheckViolationError) and error.constraint_name == _CLOSED_CHECK:
            raise AccountClosed from error
        raise
    except DBAPIError as error:
        if error.connection_invalidated or _is_transient(getattr(error.orig, "sqlstate", None)):
            raise Unavailable("postgres") from error
        if isinstance(error, IntegrityError) and _CLOSED_CHECK in str(error.orig):
            raise AccountClosed from error
        raise


def _is_transient(sqlstate: str | None) -> bool:
    """True for errors that pass, and for those of the connection (class 08)."""
    return sqlstate is not None and (sqlstate in _TRANSIENT or sqlstate.startswith("08"))
