"""A PostgreSQL that refuses to write, or has no connection left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from engage.torture.faults.signals import OURS
from engage.torture.plan import Step
from engage.torture.system import System

FILL_EVERY_S = 0.25
READ_ONLY = "default_transaction_read_only"


@asynccontextmanager
async def read_only(system: System, step: Step) -> AsyncIterator[None]:
    """Begin every new transaction read-only, as on a standby."""
    await _configure(system, f"ALTER SYSTEM SET {READ_ONLY} = on")
    try:
        yield
    finally:
        await _configure(system, f"ALTER SYSTEM RESET {READ_ONLY}")


@asynccontextmanager
async def connections_full(system: System, step: Step) -> AsyncIterator[None]:
    """Take every connection that is left, end half of engage's, and take those too."""
    taken: list[asyncpg.Connection] = []
    try:
        await _take_all(system, taken)
        if taken:
            await taken[0].execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS} AND pid % 2 = 0"  # noqa: S608
            )
        keeping = asyncio.create_task(_keep_taking(system, taken))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
    finally:
        for connection in taken:
            connection.terminate()


async def _keep_taking(system: System, taken: list[asyncpg.Connection]) -> None:
    while True:
        await _take_all(system, taken)
        await asyncio.sleep(FILL_EVERY_S)


async def _take_all(system: System, taken: list[asyncpg.Connection]) -> None:
    with suppress(asyncpg.PostgresError, OSError):
        while True:
            taken.append(await system.connect())


async def _configure(system: System, statement: str) -> None:
    connection = await system.connect()
    try:
        await connection.execute(statement)
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        connection.terminate()
