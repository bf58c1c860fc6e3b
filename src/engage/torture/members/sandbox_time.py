"""The sandbox's time as clients know it, and the actor that lets days go fast."""

import asyncio
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from msgspec.structs import replace

from engage.torture.members.actions import Action, Delivery
from engage.torture.members.client import Answer, Client

ADVANCE_S: Final = 2.5
STEPS: Final = ("PT6M", "PT1H", "PT3H", "PT7H", "PT13H")

# Under steady requests an advance takes long: they make new work that is due at once.
WHILE_ACTING: Final = 0.1

# With all work that falls due on the way.
ADVANCE_LIMIT_S: Final = 60.0

_ONCE = Delivery(with_key=False, at_once=False, again_later=False, is_patient=False)


class SandboxTime:
    """A lower bound of the sandbox's time: the last one that was answered, and the time since.

    `runs` is not set while the clock is advanced and members pause.
    """

    def __init__(self, now: datetime, at: float) -> None:
        self._now, self._at = now, at
        self.runs = asyncio.Event()
        self.runs.set()

    def learn(self, answer: Answer | None) -> None:
        if answer is not None and answer.is_done:
            self._now, self._at = datetime.fromisoformat(answer.body["now"]), answer.at

    def now(self, at: float) -> datetime:
        return self._now + timedelta(seconds=at - self._at)


def advance(step: str) -> Action:
    action = sandbox("advanceClock", "/v1/sandbox/clock", {"advance": step})
    return replace(action, limit_s=ADVANCE_LIMIT_S)


def sandbox(operation: str, path: str, body: dict[str, Any]) -> Action:
    return Action(operation=operation, method="POST", path=path, body=body, caller="anyone")


async def let_time_pass(client: Client, clock: SandboxTime, rng: Random, stop: asyncio.Event) -> None:
    """Advance the sandbox's clock again and again until `stop` is set, mostly while members pause."""
    while not await stopped(stop, rng.uniform(0.5, 1.5) * ADVANCE_S):
        if rng.random() >= WHILE_ACTING:
            clock.runs.clear()
        try:
            answer, _ = await client.deliver(advance(rng.choice(STEPS)), _ONCE)
            clock.learn(answer)
        finally:
            clock.runs.set()


async def stopped(stop: asyncio.Event, after_s: float) -> bool:
    """Wait, but no longer than until `stop` is set."""
    try:
        await asyncio.wait_for(stop.wait(), after_s)
    except TimeoutError:
        return False
    return True
