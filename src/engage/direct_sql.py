"""A statement handed to the driver as it is, for the few that are asked hundreds of times a second.

What SQLAlchemy does around a statement (an execution context, a result with metadata, a greenlet) costs the
API more time than the database's answer to a batch of taps. The pool, the connection and the statement's text
stay SQLAlchemy's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncConnection


class DirectStatement:
    def __init__(self, statement: TextClause) -> None:
        self._statement = statement
        compiled = statement.compile(dialect=dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's own.
        self._sql = compiled.string
        self._names = compiled.positiontup or []

    async def fetch(self, conn: AsyncConnection, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """The rows. On a connection that commits each statement the driver itself is asked.

        In a transaction SQLAlchemy is: it begins one with the first statement that it sees.
        """
        if not _commits_each(conn):
            return (await conn.execute(self._statement, parameters)).all()
        driver = (await conn.get_raw_connection()).driver_connection
        assert driver is not None
        try:
            rows: Sequence[Sequence[Any]] = await driver.fetch(
                self._sql, *[parameters[name] for name in self._names]
            )
        except BaseException:
            # Nobody else knows in which state it is.
            await conn.invalidate()
            raise
        return rows


def _commits_each(conn: AsyncConnection) -> bool:
    return conn.sync_connection is not None and (
        conn.sync_connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
    )
