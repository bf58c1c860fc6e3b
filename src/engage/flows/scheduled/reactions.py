"""All reactions to changed facts of members, and the work of running them.

A feature adds its line to `REACTIONS`.
"""

import asyncio
from datetime import datetime
from typing import Final

from engage.runtime.database import transaction
from engage.runtime.due_work import DueWork
from engage.runtime.reactions import Reaction
from engage.runtime.services import Services
from engage.store import member_changes

# In this order for the members of a batch: what lifts a tier or completes a challenge comes before what
# follows from it.
REACTIONS: Final[tuple[Reaction, ...]] = ()

ROWS_PER_BATCH: Final = 50  # A row has the members of one statement, some dozens under load.

# A job with a large backlog ends in time, and the sweep goes on.
TURN_S: Final = 10.0


async def react_once(services: Services, *, now: datetime) -> int:
    """Run all reactions for a batch of members whose facts have changed; how many rows. Raises Unavailable.

    The rows stay locked meanwhile, so nobody else takes them. After a crash they are found again.
    """
    async with transaction(services.db) as conn:
        rows, noted = await member_changes.lock(conn, limit=ROWS_PER_BATCH)
        if not rows:
            return 0
        found = await services.members.find(services.db, noted)
        current = sorted({found[key].key if key in found else key for key in noted})
        for reaction in REACTIONS:
            await reaction.react(services, current, now=now)
        await member_changes.delete(conn, rows)
    return len(rows)


async def react_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Run reactions until nothing is left to do, for TURN_S at most; how many rows. Raises Unavailable."""
    loop = asyncio.get_running_loop()
    until, total = loop.time() + TURN_S, 0
    while done := await react_once(services, now=now):
        total += done
        if loop.time() > until:
            break
    return total


REACT: Final = DueWork(name="react", next_at=member_changes.next_at, do=react_due)
