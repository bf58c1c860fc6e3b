"""One run: members use an installation while a plan breaks it, and checks judge what is left."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from engage.torture.checks import Broken, check
from engage.torture.members import live
from engage.torture.plan import Plan
from engage.torture.record import Record
from engage.torture.system import open_system

MEMBERS_STOP_S = 30.0
CHECK_S = 300.0


class Result(Struct, frozen=True):
    """The findings of a run. `folder` keeps the record and the logs."""

    plan: Plan
    requests: int
    broken: list[Broken]
    folder: str


async def run(plan: Plan, *, report: Callable[[str], None]) -> Result:
    """Raises InstallationError."""
    root = Path(tempfile.mkdtemp(prefix="engage-torture-"))
    report("starting an installation")
    with Record(root / "record.jsonl") as record:
        async with open_system(root / "installation", on_message=report) as system:
            report(f"{plan.seconds:.0f} s of members and faults, seed {plan.seed}")
            stop = asyncio.Event()
            living = asyncio.create_task(live(system.endpoints, plan.seed, record, stop))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(living), plan.seconds)
            stop.set()
            await asyncio.wait_for(living, MEMBERS_STOP_S)
            report("checking")
            broken = await asyncio.wait_for(check(system.endpoints, record), CHECK_S)
        return Result(plan, record.new_id() - 1, broken, str(root))
