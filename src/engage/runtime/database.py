"""Transactions, and the errors of a database that cannot be reached: they become the refusal Unavailable."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import lru_cache

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.connections.logins import Url
from engage.connections.postgres import cannot_now, open_engine
from engage.connections.primary import AnyServer, Primary
from engage.connections.schema_version import PART, newest_version
from engage.direct_sql import DirectConnection
from engage.domain.accounts.balance import MOST_BALANCE
from engage.domain.refusals import AccountClosed, AccountFull, Unavailable
from engage.schema import balances

COMMAND_TIMEOUT_S = 10.0  # A worker's job must end within 30 s.
REQUEST_TIMEOUT_S = 5.0  # Apps wait for it.

_END_WITHIN = text("SELECT set_config('transaction_timeout', :limit, true)")
_EXPORT = text("SELECT pg_export_snapshot()")
_SCHEMA_VERSION = text("SELECT version_num FROM alembic_version")


def open_database(
    url: Url,
    *,
    pool_size: int = 10,
    command_timeout_s: float | None = COMMAND_TIMEOUT_S,
    any_schema: bool = False,
    primary: Primary | None = None,
    standby: bool = False,
) -> AsyncEngine:
    """Opens an engine with a time limit for each statement. Connects when first used.

    The URL may name several hosts, of which the primary is used; `primary` is told of it. With `standby` it
    is the first host that answers, whatever it is: for `engage.runtime.stale_reads` alone.

    `command_timeout_s` None: no limit, for a person at a terminal. `any_schema`: for migrations, which alone
    work on tables of another release.
    """
    return open_engine(
        url,
        pool_size=pool_size,
        command_timeout_s=command_timeout_s,
        any_schema=any_schema,
        primary=AnyServer() if standby else primary,
    )


async def check_schema(db: AsyncEngine) -> None:
    """Compare the version of the tables; drop all connections if it is another. Raises Unavailable.

    Connections are compared when they are made. This is for a pooler that keeps them through a migration.
    """
    async with one_statement(db) as conn:
        version = (await conn.execute(_SCHEMA_VERSION)).scalar()
    if version != newest_version():
        await db.dispose()
        raise Unavailable(PART)


@asynccontextmanager
async def transaction(db: AsyncEngine, *, direct: bool = False) -> AsyncIterator[AsyncConnection]:
    """Opens a transaction; commits it at the end of the block, or rolls back when anything is raised.

    `direct` is for flows that run a hundred times a second: text statements go to the driver.
    Flows that change balances use `open_posting` instead. Raises Unavailable; AccountClosed if the
    account of a merged or erased member would get points; AccountFull if an account would get too many.
    """
    with _unavailable_errors():
        conn = DirectConnection(db) if direct else db.connect()
        async with conn, conn.begin():
            yield conn


async def end_within(conn: AsyncConnection, limit: timedelta) -> None:
    """Let the server end a transaction that has not committed in this time from now on, and its connection.

    Then whoever opened it gets Unavailable.
    """
    await conn.execute(_END_WITHIN, {"limit": f"{limit // timedelta(milliseconds=1)}ms"})


@asynccontextmanager
async def snapshot(db: AsyncEngine, exported: str | None = None) -> AsyncIterator[AsyncConnection]:
    """Opens a read-only transaction that sees everything as of its first statement, or as one that `export`ed
    what it sees. Raises Unavailable.
    """
    with _unavailable_errors():
        async with db.connect() as conn:
            await conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with conn.begin():
                if exported is not None:
                    await conn.execute(text(f"SET TRANSACTION SNAPSHOT '{exported}'"))
                yield conn


async def export(conn: AsyncConnection) -> str:
    """Let other transactions see what this snapshot sees, as long as it is open."""
    return str((await conn.execute(_EXPORT)).scalar_one())


@asynccontextmanager
async def one_statement(db: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Opens a connection that commits each statement, without the round trips of BEGIN and COMMIT.

    Raises Unavailable, AccountClosed, AccountFull.
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
    except Exception as error:
        if cannot_now(error):
            raise Unavailable("postgres") from error
        match _broken_constraint(error):
            case balances.CLOSED_CHECK:
                raise AccountClosed from error
            case balances.LIMIT_CHECK:
                raise AccountFull(MOST_BALANCE) from error
        raise


def _broken_constraint(error: Exception) -> str | None:
    """The name of the check that a statement has broken."""
    # The driver's own error, of a DirectStatement or behind SQLAlchemy's two.
    cause = error.orig.__cause__ if isinstance(error, IntegrityError) and error.orig is not None else error
    return cause.constraint_name if isinstance(cause, asyncpg.CheckViolationError) else None
