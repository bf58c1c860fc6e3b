"""The statements that something sends to the database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine


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

    event.listen(db.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(db.sync_engine, "before_cursor_execute", note)
