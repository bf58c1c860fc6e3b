"""Pays prizes of draws as a process that can be killed: `python -m … <time> <prizes in a batch>`."""

import asyncio
import sys
from datetime import datetime

from engage.flows.draws.prizes import pay_batch
from engage.runtime.services import open_services
from engage.settings import from_environment
from tests.support.clock import StoppedClock


async def main(now: datetime, limit: int) -> None:
    async with open_services(from_environment(), StoppedClock(now)) as services:
        await services.programs.refresh(services.db)
        while await pay_batch(services, now=now, limit=limit):
            pass


if __name__ == "__main__":
    asyncio.run(main(datetime.fromisoformat(sys.argv[1]), int(sys.argv[2])))
