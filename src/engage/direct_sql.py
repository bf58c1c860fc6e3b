"""Statements that go to the driver directly, for the few that run hundreds of times a second.

SQLAlchemy's work around a statement (an execution context, a result with metadata, a greenlet) costs the API
more time than the database's answer to a batch of taps. The pool, the connection and the text stay
SQLAlchemy's. docs/decisions/0010-core-text-driver.md says when to use what.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import CursorResult, Executable, TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

# Of text statements, which are constants.
COMPILED_KEPT = 1_000


@lru_cache(maxsize=COMPILED_KEPT)
def _compiled(statement: TextClause) -> tuple[str, Sequence[str]]:
    """The text that the driver takes, and the names of its parameters in order."""
    compiled = statement.compile(dialect=dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's own.
    return compiled.string, compiled.positiontup or []


class DirectStatement:
    def __init__(self, statement: TextClause) -> None:
        self._statement = statement
        self._sql, self._names = _compiled(statement)

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


class DirectConnection(AsyncConnection):
    """A connection whose text statements go to the driver, from the second of a transaction on.

    The first one goes to SQLAlchemy, which begins the transaction with it. A result of the driver has rows
    and no `rowcount`.
    """

    __slots__ = ("_driver",)

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self._driver: Any = None

    async def execute(
        self, statement: Executable, parameters: Any = None, *, execution_options: Any = None
    ) -> CursorResult[Any]:
        if not isinstance(statement, TextClause) or execution_options is not None:
            return await super().execute(statement, parameters, execution_options=execution_options)
        if self._driver is None or isinstance(parameters, Sequence):
            result = await super().execute(statement, parameters)
            self._driver = (await self.get_raw_connection()).driver_connection
            return result
        sql, names = _compiled(statement)
        try:
            rows = await self._driver.fetch(sql, *[parameters[name] for name in names])
        except BaseException:
            await self.invalidate()
            raise
        keys = list(rows[0].keys()) if rows else [""]
        return cast("CursorResult[Any]", IteratorResult(SimpleResultMetaData(keys), iter(rows)))


def commits_each(conn: AsyncConnection) -> bool:
    """Tell whether a connection commits each statement."""
    return conn.sync_connection is not None and (
        conn.sync_connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
    )
