"""Do the faults of a plan, round by round, and measure how long the installation takes to be live again."""

import asyncio
from collections.abc import Callable

import asyncpg
from msgspec import Struct
from redis.exceptions import RedisError

from engage.torture.faults import FAULTS
from engage.torture.plan import PAUSE_S, Plan, Step, text_of_step
from engage.torture.recovery import Probe, Recovery
from engage.torture.system import System

STEP_S = 30.0  # To begin a fault and to end it.

# A fault meets servers that are away for another reason, or that it has broken itself.
EXPECTED = (OSError, TimeoutError, RedisError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Done(Struct, frozen=True, kw_only=True):
    """A fault that was done, from `began` to `ended` on the monotonic clock. `note`: what kept it from it."""

    step: Step
    began: float
    ended: float
    note: str = ""


class Round(Struct, frozen=True):
    """Faults at the same time, and the recovery after the last of them."""

    done: list[Done]
    recovery: Recovery

    @property
    def is_judged(self) -> bool:
        """True if a fault was done, and the time until it was live again says something."""
        return self.recovery.is_judged and any(not each.note for each in self.done)


async def break_by_plan(
    system: System, plan: Plan, probe: Probe, report: Callable[[str], None], rounds: list[Round]
) -> None:
    """Do rounds until the time is over, and add each to `rounds`. Return early if the system stays down."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for steps in plan.rounds():
        if loop.time() - began > plan.seconds:
            break
        done = await asyncio.gather(*(_do(system, step) for step in steps))
        recovery = await probe.until_live(max(each.ended for each in done))
        rounds.append(Round(list(done), recovery))
        report(f"{loop.time() - began:5.0f} s  {text_of(rounds[-1])}")
        if recovery.missing:
            return
        await asyncio.sleep(PAUSE_S)
    await asyncio.sleep(max(0.0, began + plan.seconds - loop.time()))


async def _do(system: System, step: Step) -> Done:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(step.begin_s)
    began, note = loop.time(), ""
    try:
        async with asyncio.timeout(step.length_s + STEP_S), FAULTS[step.fault](system, step):
            await asyncio.sleep(step.length_s)
    except EXPECTED as error:
        note = f"{type(error).__name__}: {error}"
    return Done(step=step, began=began, ended=loop.time(), note=note)


def text_of(done: Round) -> str:
    """Return a line about a round."""
    faults = " with ".join(
        f"{text_of_step(each.step)}{each.note and f' ({each.note})'}" for each in done.done
    )
    recovery = done.recovery
    if recovery.missing:
        return f"{faults}: not live after {recovery.seconds:.0f} s: {recovery.missing}"
    late = "" if recovery.is_kept else " LATE"
    return (
        f"{faults}: live after {recovery.seconds:.1f} s{late}, {recovery.starved_s:.1f} s without a processor"
    )
