"""Statements that go to the driver directly, for the few that run hundreds of times a second.

SQLAlchemy's work around a statement (an execution context, a result with metadata, a greenlet) costs the API
more time than the database's answer to a batch of taps. The pool, the connection and the text stay
SQLAlchemy's. docs/decisions/0010-core-text-driver.md says when to use what.
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
        """Run the statement and return its rows.

        On a connection that commits each statement it goes to the driver. In a transaction it goes to
        SQLAlchemy, which begins the transaction with the first statement that it sees.
        """
        if not commits_each(conn):
            return (await conn.execute(self._statement, parameters)).all()
        driver = (await conn.get_raw_connection()).driver_connection
        assert driver is not None
        try:
            rows: Sequence[Sequence[Any]] = await driver.fetch(
                self._sql, *[parameters[name] for name in self._names]
            )
        except BaseException:
            # The pool does not know in which state the connection is.
            await conn.invalidate()
            raise
        return rows


def commits_each(conn: AsyncConnection) -> bool:
    """Tell whether a connection commits each statement."""
    return conn.sync_connection is not None and (
        conn.sync_connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
    )
