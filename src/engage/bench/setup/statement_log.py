"""The statements that PostgreSQL runs, read from its log: how many a request needs, and the slowest."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_LINE: Final = re.compile(
    rb" LOG:  duration: ([0-9.]+) ms  (parse|bind|execute|statement)[^:]*: *([A-Za-z]*)"
)
_OF_TRANSACTIONS: Final = (b"BEGIN", b"COMMIT", b"ROLLBACK", b"SET")


class Statements(Struct, frozen=True):
    """The number of statements without those of transactions, and the time of the slowest."""

    count: int
    slowest_ms: float


class StatementLog:
    """The part of the server's log that has not been read yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size

    def read(self) -> Statements:
        """Read what was added to the log since the last time. Planning counts as time of its statement."""
        with self._path.open("rb") as log:
            log.seek(self._read)
            added = log.read()
            self._read = log.tell()
        count, planning, slowest = 0, 0.0, 0.0
        for ms, phase, verb in _LINE.findall(added):
            if phase in (b"parse", b"bind"):
                planning += float(ms)
                continue
            count += verb.upper() not in _OF_TRANSACTIONS
            slowest, planning = max(slowest, planning + float(ms)), 0.0
        return Statements(count, slowest)


@asynccontextmanager
async def statement_log(db: AsyncEngine, path: Path) -> AsyncIterator[StatementLog]:
    """Let PostgreSQL log every statement to its log at `path`."""
    await _configure(db, "ALTER SYSTEM SET log_min_duration_statement = 0")
    yield StatementLog(path)
    await _configure(db, "ALTER SYSTEM RESET log_min_duration_statement")


async def _configure(db: AsyncEngine, statement: str) -> None:
    async with db.connect() as conn:
        outside = await conn.execution_options(isolation_level="AUTOCOMMIT")
        await outside.execute(text(statement))
        await outside.execute(text("SELECT pg_reload_conf()"))
