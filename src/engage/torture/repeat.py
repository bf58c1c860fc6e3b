"""Repeat a failing run with fewer faults and members, for as long as it still fails; and read its record."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from engage.torture.plan import Plan, Step
from engage.torture.record import Line
from engage.torture.run import Result, run
from engage.torture.shorten import fewest, with_rounds
from engage.torture.story import story_of

STORIES = 3


async def shortest_failing(
    result: Result, *, minutes: float, parent: Path | None, report: Callable[[str], None]
) -> Result:
    """Return the run with the fewest faults, then members, that was found to break the same promise within
    some minutes.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + minutes * 60
    promises = {broken.promise for broken in result.broken}
    rounds = [[done.step for done in each.done] for each in result.rounds]
    shortest = result

    def may_go_on() -> bool:
        return loop.time() < deadline

    async def still_fails(plan: Plan) -> bool:
        nonlocal shortest
        report(f"again, with {len(plan.rounds())} of {len(rounds)} rounds and {plan.actors} members")
        again = await run(plan, parent=parent, report=report)
        if promises.isdisjoint(broken.promise for broken in again.broken):
            await asyncio.to_thread(shutil.rmtree, again.folder)
            return False
        shortest = again
        return True

    async def fails(some: Sequence[list[Step]]) -> bool:
        return await still_fails(with_rounds(result.plan, some, of=len(rounds)))

    await fewest(rounds, fails, may_go_on=may_go_on)
    while shortest.plan.actors > 1 and may_go_on():
        if not await still_fails(msgspec.structs.replace(shortest.plan, actors=shortest.plan.actors // 2)):
            break
    return shortest


def read_plan(file: Path) -> Plan:
    """Raises MsgspecError if it is no plan."""
    return msgspec.json.decode(file.read_bytes(), type=Plan)


def stories_of(result: Result) -> list[list[str]]:
    """Return the stories of the first broken promises, each as lines."""
    decoder = msgspec.json.Decoder(Line)
    with (Path(result.folder) / "record.jsonl").open("rb") as file:
        lines = [decoder.decode(line) for line in file]
    return [story_of(broken, lines, result.rounds) for broken in result.broken[:STORIES]]
