"""Close what is due of leaderboards, in batches of a given size. A test kills this process meanwhile."""

import asyncio
import sys
from datetime import datetime

from engage.flows.leaderboards import close
from engage.flows.leaderboards.close import close_due
from engage.runtime.services import open_services
from engage.settings import from_environment
from tests.support.clock import StoppedClock


async def main(at: datetime, batch: int) -> None:
    close.RANKS_PER_BATCH = batch  # type: ignore[misc]  # Small, so that it is killed between two of them.
    async with open_services(from_environment(), StoppedClock(at)) as services:
        await services.programs.refresh(services.db)
        await services.definitions.refresh(services.db)
        await close_due(services, now=at)


if __name__ == "__main__":
    asyncio.run(main(datetime.fromisoformat(sys.argv[1]), int(sys.argv[2])))
