"""Approves the referrals that are due as a process that can be killed: `python -m … <time>`."""

import asyncio
import sys
from datetime import datetime

from engage.flows.referrals.settle import settle_due_referrals
from engage.runtime.services import open_services
from engage.settings import from_environment
from tests.support.clock import StoppedClock


async def main(now: datetime) -> None:
    async with open_services(from_environment(), StoppedClock(now)) as services:
        await services.programs.refresh(services.db)
        await settle_due_referrals(services, now=now)


if __name__ == "__main__":
    asyncio.run(main(datetime.fromisoformat(sys.argv[1])))
