"""Queries that wait for the end of work, and that verify its result."""

import asyncio
import time
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.runtime.database import transaction

POLL_S = 0.05


async def fetch_row(db: AsyncEngine, statement: TextClause, **parameters: object) -> Row[*tuple[Any, ...]]:
    async with transaction(db) as conn:
        return (await conn.execute(statement, parameters)).one()


async def wait_until_zero(
    db: AsyncEngine,
    statement: TextClause,
    *,
    limit_s: float,
    poll_s: float = POLL_S,
    **parameters: object,
) -> float:
    """Repeat a query for one value until it is false or zero. Return the seconds. Raises TimeoutError."""
    started = time.perf_counter()
    async with asyncio.timeout(limit_s):
        while (await fetch_row(db, statement, **parameters))[0]:  # noqa: ASYNC110 — Other processes work.
            await asyncio.sleep(poll_s)
    return time.perf_counter() - started
