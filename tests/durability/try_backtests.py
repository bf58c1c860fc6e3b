"""Work on backtests in parts of few members. A test kills this process meanwhile."""

import asyncio
import sys
from datetime import datetime
from typing import Any, Final
from unittest.mock import patch

from sqlalchemy import text

from engage.flows.backtests import decide, finish, work
from engage.runtime.services import open_services
from engage.settings import from_environment
from tests.support.clock import StoppedClock

# Held by a test for as long as workers are to wait with their second part decided.
WAIT_FOR: Final = 20_261_129


async def main(at: datetime, members: int) -> None:
    finish.MEMBERS_PER_PART = members  # type: ignore[misc]  # Small, so that there are many parts.
    decided, decide_part = 0, decide.decide_part

    async def decide_and_wait(services: Any, conn: Any, *args: Any) -> None:
        nonlocal decided
        await decide_part(services, conn, *args)
        decided += 1
        if decided == 2:
            await conn.execute(text(f"SELECT pg_advisory_xact_lock({WAIT_FOR})"))

    with patch.object(work, "decide_part", decide_and_wait):
        async with open_services(from_environment(), StoppedClock(at)) as services:
            await services.programs.refresh(services.db)
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await work.work_always(services, lambda: None)


if __name__ == "__main__":
    asyncio.run(main(datetime.fromisoformat(sys.argv[1]), int(sys.argv[2])))
