"""Decides about a suspicion as a process that can be killed: `python -m … <action> <suspicion> <time>`.

Actions: release, reject, undo, and finish, which does what others have decided. One member at a time, so that
a part of them is done when it dies.
"""

import asyncio
import sys
from datetime import datetime
from uuid import UUID

from engage.domain.identity import Operator
from engage.flows.protection import apply
from engage.flows.protection.apply import apply_due
from engage.flows.protection.decide import decide, undo
from engage.runtime.services import open_services
from engage.settings import from_environment
from tests.support.clock import StoppedClock

ANNA = Operator("key-1", "Anna")


async def main(action: str, suspicion: UUID, now: datetime) -> None:
    async with open_services(from_environment(), StoppedClock(now)) as services:
        await services.programs.refresh(services.db)
        match action:
            case "release":
                await decide(services, suspicion, "released", operator=ANNA, reason="a family")
            case "reject":
                await decide(services, suspicion, "rejected", operator=ANNA, reason="a robot")
            case "undo":
                await undo(services, suspicion, operator=ANNA, reason="a mistake")
            case "finish":
                await apply_due(services, now=now)


if __name__ == "__main__":
    vars(apply).update(MEMBERS_PER_PART=1)
    asyncio.run(main(sys.argv[1], UUID(sys.argv[2]), datetime.fromisoformat(sys.argv[3])))
