"""Keeps parts running: starts them, brings back those that end, stops them all."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from engage.embedded.child import Child, Part, start
from engage.embedded.errors import InstallationError, PartFailed
from engage.embedded.run_file import Kin, kin_of

FIRST_DELAY_S = 0.2
LAST_DELAY_S = 5.0
STEADY_S = 30.0  # A part that ran this long has not failed to start: the first delay is enough.


def _nothing(*_: object) -> None:
    pass


class Supervisor:
    """`changed` is called when a child came or went, `say` with a line about what happened to a part."""

    def __init__(self, changed: Callable[[], None] = _nothing, say: Callable[[str], None] = _nothing) -> None:
        self._changed = changed
        self._say = say
        self._children: dict[str, Child] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._ends: dict[str, int] = {}

    def kin(self) -> list[Kin]:
        """The children that run now, in the order of their first start."""
        found = (
            kin_of(child.part.name, child.pid, child.part.stop_signal)
            for child in self._children.values()
            if not child.has_ended
        )
        return [kin for kin in found if kin is not None]

    def pid(self, name: str) -> int:
        """Of the part's newest child, which may have ended."""
        return self._children[name].pid

    def child(self, name: str) -> Child:
        return self._children[name]

    def ends(self, name: str) -> int:
        """How often the part has ended by itself."""
        return self._ends.get(name, 0)

    async def start(self, part: Part) -> float:
        """Start a part and wait until it is ready; from then on it is kept running.

        Returns the seconds it took. Raises PartFailed, and then the part is gone.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        child = self._children[part.name] = await start(part)
        self._changed()
        try:
            await child.ready()
        except PartFailed:
            await child.stop()
            raise
        self._keepers.append(asyncio.create_task(self._keep(part), name=f"keep {part.name}"))
        return loop.time() - began

    async def stop(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        for order in sorted({child.part.stop_order for child in self._children.values()}):
            stopping = [child for child in self._children.values() if child.part.stop_order == order]
            await asyncio.gather(*(child.stop() for child in stopping))

    async def _keep(self, part: Part) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY_S
        while True:
            began = loop.time()
            code = await self._children[part.name].ended()
            self._ends[part.name] = self.ends(part.name) + 1
            if loop.time() - began > STEADY_S:
                delay = FIRST_DELAY_S
            self._say(f"{part.name} {how_it_ended(code)}; it is started again")
            # What it started itself may still hold its port.
            self._children[part.name].kill()
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY_S)
            try:
                self._children[part.name] = await start(part)
                self._changed()
            except InstallationError as error:
                # Such as a full disk. Keeping the part comes before telling others about it.
                self._say(str(error))


async def together(*starts: Coroutine[Any, Any, None]) -> None:
    """Wait for all; the first that fails ends the waiting for the others, and is raised."""
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
