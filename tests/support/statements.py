"""The statements that something sends to the database."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from asyncpg.connection import LoggedQuery
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

# Those of the driver itself, around the statements of a transaction.
FRAMES = ("BEGIN", "COMMIT", "ROLLBACK")


@contextmanager
def sent_statements(db: AsyncEngine) -> Iterator[list[str]]:
    """Collect the statements of the block. Those of other tasks that run already, such as the loops of a
    process, are not among them.
    """
    others = asyncio.all_tasks() - {asyncio.current_task()}
    sent: list[str] = []

    def note(*execution: Any) -> None:
        if asyncio.current_task() not in others:
            sent.append(execution[2])

    def note_direct(query: LoggedQuery) -> None:
        if not query.query.startswith(FRAMES):
            sent.append(query.query)

    def on_checkout(connection: Any, *_: Any) -> None:
        if asyncio.current_task() not in others:
            connection.driver_connection.add_query_logger(note_direct)

    def on_checkin(connection: Any, *_: Any) -> None:
        if connection is not None:
            connection.driver_connection.remove_query_logger(note_direct)

    with ExitStack() as stack:
        for target, name, listener in (
            (db.sync_engine, "before_cursor_execute", note),
            (db.sync_engine.pool, "checkout", on_checkout),
            (db.sync_engine.pool, "checkin", on_checkin),
        ):
            event.listen(target, name, listener)
            stack.callback(event.remove, target, name, listener)
        yield sent
