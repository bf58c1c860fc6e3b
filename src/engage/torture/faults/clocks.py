"""The clock of one machine, 25 hours off."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engage.torture.faketime import set_offset
from engage.torture.plan import Step
from engage.torture.system import System


@asynccontextmanager
async def clock_off(system: System, step: Step) -> AsyncIterator[None]:
    set_offset(system.clock_file(step.target), step.parameters["ahead_s"])
    try:
        yield
    finally:
        set_offset(system.clock_file(step.target), 0)
