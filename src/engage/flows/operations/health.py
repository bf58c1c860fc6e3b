"""Health checks of the database, and of the work that workers do."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Literal, TypeVar

from msgspec import Struct
from sqlalchemy import text

from engage.domain.refusals import Unavailable
from engage.flows.scheduled.due_work import DUE_WORK
from engage.runtime.database import one_statement
from engage.runtime.liveness import FEED, WORKER, problems_of, works
from engage.runtime.services import Services
from engage.signals.topics import Heartbeat, this_process

T = TypeVar("T")

Sign = Literal["up", "down"]

CHECK_TIMEOUT_S: Final = 1.5

# Commits a record of the write-ahead log, and changes no row: a full disk, or a standby that a synchronous
# commit waits for, stops it as it stops all others. The DELETE is refused by a database that is read-only.
# Pending points and pending status have an index each, so they are looked for one after the other.
_WRITE = text("""
WITH nothing AS (DELETE FROM outbox WHERE false)
SELECT pg_logical_emit_message(true, 'engage', 'health'),
       EXISTS (SELECT FROM stored_credits WHERE state = 'pending' AND unit IS NULL AND due_at < :before)
       OR EXISTS (
           SELECT FROM stored_credits WHERE state = 'pending' AND unit IS NOT NULL AND due_at < :before
       )
""")

# A credit that is overdue by more is not late but forgotten: nothing settles.
OVERDUE_AFTER: Final = timedelta(minutes=1)
OVERDUE: Final = "overdue_credits"


class PartsHealth(Struct, frozen=True):
    """The state of each service and process. A service is up when it can be written; a process, when all its
    loops do their work. Of several workers or feeds one is enough, if every kind of due work is done and no
    credit is overdue by more than a minute.
    """

    postgres: Sign
    valkey_state: Sign
    valkey_queue: Sign
    valkey_topics: Sign
    api: Sign
    worker: Sign
    feed: Sign


class ProcessProblem(Struct, frozen=True):
    """A background loop of a process that does not do its work, or the clock of its machine: `clock_off`, by
    more than a second, and the process works; `clock_far_off`, by more than a minute, and it does not.

    Without an `id`: a kind of due work that no worker has looked for lately, or `overdue_credits`.
    """

    process: str
    id: str
    loop: str


async def check_database(services: Services) -> bool:
    """Write to the database; return whether credits are overdue by more than OVERDUE_AFTER.

    Raises Unavailable if it does not answer or cannot be written.
    """
    async with one_statement(services.db) as conn:
        row = (await conn.execute(_WRITE, {"before": services.clock.now() - OVERDUE_AFTER})).one()
    return bool(row[1])


async def undone_work(services: Services) -> list[str]:
    """The kinds of due work that no worker has looked for lately. Raises Unavailable."""
    return await services.topics.not_done([work.name for work in DUE_WORK])


async def check_parts(services: Services, *, started: bool) -> tuple[PartsHealth, list[ProcessProblem]]:
    """Ask all parts at once. A part without an answer in CHECK_TIMEOUT_S is down. `started`: this API knows
    its programs.
    """
    (postgres, undone), (state, queue, topics, workers, feeds) = await asyncio.gather(
        asyncio.gather(_answer(lambda: check_database(services)), _answer(lambda: undone_work(services))),
        asyncio.gather(
            _answer(services.gate.check),
            _answer(services.doorbell.check),
            _answer(services.topics.check),
            _answer(lambda: services.topics.read_heartbeats(WORKER)),
            _answer(lambda: services.topics.read_heartbeats(FEED)),
        ),
    )
    own = problems_of(services.loops, services.clock)
    # Not of one worker: what none of them has done.
    missed = [*(undone[1] or []), *([OVERDUE] if postgres[1] else [])]
    processes = {WORKER: workers[1] or [], FEED: feeds[1] or []}
    parts = PartsHealth(
        postgres=_sign(postgres[0]),
        valkey_state=_sign(state[0]),
        valkey_queue=_sign(queue[0]),
        valkey_topics=_sign(topics[0]),
        api=_sign(started and works(own)),
        worker=_sign(_one_works(processes[WORKER]) and not missed),
        feed=_sign(_one_works(processes[FEED])),
    )
    return parts, [
        *(ProcessProblem("api", this_process(), loop) for loop in own),
        *(ProcessProblem(WORKER, "", work) for work in missed),
        *(
            ProcessProblem(name, alive.id, loop)
            for name, found in processes.items()
            for alive in found
            for loop in alive.problems
        ),
    ]


async def _answer(ask: Callable[[], Awaitable[T]]) -> tuple[bool, T | None]:
    """Return whether there was an answer in time, and the answer."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return True, await ask()
    except (Unavailable, TimeoutError):
        return False, None


def _one_works(processes: list[Heartbeat]) -> bool:
    return any(works(process.problems) for process in processes)


def _sign(up: bool) -> Sign:
    return "up" if up else "down"
