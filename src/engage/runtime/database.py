"""The one place where a transaction is opened, and where a database that is away becomes a refusal."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from engage.domain.refusals import AccountClosed, Unavailable

CONNECT_TIMEOUT_S = 2.0
COMMAND_TIMEOUT_S = 10.0  # Apps wait for it, and a worker's job has to end in 30 s.
POOL_TIMEOUT_S = 5.0

# Deadlocks, serialization failures, a server that is starting or shutting down: the caller may ask again.
_PASSING = ("40P01", "40001", "57P01", "57P02", "57P03", "53300")

# The constraint that keeps points away from the accounts of members who were merged or erased.
_CLOSED_CHECK = "balances_closed_check"


def open_database(
    url: str, *, pool_size: int = 10, command_timeout_s: float | None = COMMAND_TIMEOUT_S
) -> AsyncEngine:
    """An engine whose statements end, one way or the other, in bounded time. Connects when first used.

    Without a `command_timeout_s` they take as long as they take: for a person at a terminal.
    """
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": command_timeout_s,
            # Short statements in great numbers: planning by compilation never pays here.
            "server_settings": {"jit": "off", "application_name": "engage", "timezone": "UTC"},
        },
    )


@asynccontextmanager
async def transaction(db: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Commits at the end, rolls back when anything is raised.

    Raises Unavailable when PostgreSQL is away, AccountClosed where points would go to one who is gone.
    """
    with _away_is_unavailable():
        async with db.begin() as conn:
            yield conn


@asynccontextmanager
async def snapshot(db: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that only reads, and sees everything as it was at its first statement.

    Raises Unavailable when PostgreSQL is away.
    """
    with _away_is_unavailable():
        async with db.connect() as conn:
            await conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with conn.begin():
                yield conn


@asynccontextmanager
async def one_statement(db: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction of a single statement, which needs no round trips to begin and to commit.

    Raises Unavailable when PostgreSQL is away.
    """
    with _away_is_unavailable():
        async with _committing_each(db).connect() as conn:
            yield conn


@lru_cache(maxsize=8)
def _committing_each(db: AsyncEngine) -> AsyncEngine:
    """The same pool of connections, without transactions around statements. Making it anew is dear."""
    return db.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def _away_is_unavailable() -> Iterator[None]:
    try:
        yield
    except (InterfaceError, OperationalError, PoolTimeoutError, OSError, TimeoutError) as error:
        raise Unavailable("postgres") from error
    except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
        # The driver's own, of a statement that it was handed directly.
        raise Unavailable("postgres") from error
    except asyncpg.InternalClientError as error:
        # A server that shuts down says so to an idle connection. A statement that comes while the driver
        # reads that finds it in no state to take one.
        if "cannot switch to state" in str(error):
            raise Unavailable("postgres") from error
        raise
    except asyncpg.PostgresError as error:
        if _passes(error.sqlstate):
            raise Unavailable("postgres") from error
        if isinstance(error, asyncpg.CheckViolationError) and error.constraint_name == _CLOSED_CHECK:
            raise AccountClosed from error
        raise
    except DBAPIError as error:
        if error.connection_invalidated or _passes(getattr(error.orig, "sqlstate", None)):
            raise Unavailable("postgres") from error
        if isinstance(error, IntegrityError) and _CLOSED_CHECK in str(error.orig):
            raise AccountClosed from error
        raise


def _passes(sqlstate: str | None) -> bool:
    """Whether an error is one of those that pass, or of the connection itself (class 08)."""
    return sqlstate is not None and (sqlstate in _PASSING or sqlstate.startswith("08"))
