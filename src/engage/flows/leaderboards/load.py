"""Load the boards that Valkey does not know from the database, while scores go on changing.

Valkey keeps how far the loading has come, so it goes on in the next turn, of any worker. A loss in between
begins it anew, and everybody is answered from the database meanwhile.
"""

import asyncio
from datetime import datetime
from typing import Final

from engage.domain.refusals import Unavailable
from engage.flows.leaderboards.count import row_of
from engage.gate.boards import COMPLETE, LOADING
from engage.runtime.database import one_statement, transaction
from engage.runtime.services import Services
from engage.store.leaderboards.periods import list_open
from engage.store.leaderboards.scores import PeriodKey, read_page

# Valkey does nothing else during a call, and taps wait for it.
ROWS_PER_PAGE: Final = 500

# A worker's job has to end in time; the next one goes on.
TURN_S: Final = 10.0


async def load_boards(
    services: Services, *, now: datetime, on_time: bool = False, turn_s: float | None = TURN_S
) -> int:
    """Load the open boards that are not whole in Valkey, for so many seconds at most. Raises Unavailable."""
    until = None if turn_s is None else asyncio.get_running_loop().time() + turn_s
    async with one_statement(services.db) as conn:
        open_ = await list_open(conn)
    try:
        for period in open_:
            await load_board(services, period.key, until=until)
    except Unavailable as unavailable:
        # The database answers for boards while Valkey is away.
        if unavailable.facts.get("part") != "valkey":
            raise
    return 0


async def load_board(services: Services, board: PeriodKey, *, until: float | None = None) -> bool:
    """Load a board until it is whole, or until that time of the event loop; whether it is whole.

    Raises Unavailable.
    """
    boards = services.gate.boards
    while (state := await boards.state(board)) != COMPLETE:
        if until is not None and asyncio.get_running_loop().time() > until:
            return False
        async with transaction(services.db) as conn:
            rows = await read_page(conn, board, after=state.removeprefix(LOADING), limit=ROWS_PER_PAGE)
        then = COMPLETE if len(rows) < ROWS_PER_PAGE else LOADING + rows[-1].member_id
        await boards.load(board, [row_of(row) for row in rows], state=state, then=then)
    return True
