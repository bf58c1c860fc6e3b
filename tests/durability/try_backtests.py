"""Work on backtests and grants in parts of few members. A test kills this process meanwhile."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final
from unittest.mock import patch

from sqlalchemy import text

from engage.flows.backtests import decide, finish, give, work
from engage.runtime.services import open_services
from engage.settings import from_environment
from engage.store.backtests import gains
from tests.support.clock import StoppedClock

# Held by a test for as long as workers are to wait with their second part done.
WAIT_FOR: Final = 20_261_129

Step = Callable[..., Awaitable[Any]]


def waiting(step: Step, connection: int) -> Step:
    """A step that waits at the end of its second turn, within its transaction."""
    turns = 0

    async def wait(*args: Any) -> None:
        nonlocal turns
        await step(*args)
        turns += 1
        if turns == 2:
            await args[connection].execute(text(f"SELECT pg_advisory_xact_lock({WAIT_FOR})"))

    return wait


async def main(at: datetime, members: int) -> None:
    finish.MEMBERS_PER_PART = members  # type: ignore[misc]  # Small, so that there are many parts.
    give.MEMBERS_PER_BATCH = members  # type: ignore[misc]
    with (
        patch.object(work, "decide_part", waiting(decide.decide_part, connection=1)),
        patch.object(gains, "write_granted", waiting(gains.write_granted, connection=0)),
    ):
        settings = from_environment()
        # It waits for the test as long as that takes.
        async with open_services(settings, StoppedClock(at), command_timeout_s=None) as services:
            await services.programs.refresh(services.db)
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await work.work_always(services, lambda: None)


if __name__ == "__main__":
    asyncio.run(main(datetime.fromisoformat(sys.argv[1]), int(sys.argv[2])))
