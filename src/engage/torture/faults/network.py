"""Connections that are cut, refused, silent or slow, or lost between a commit and its answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engage.torture.links import Action
from engage.torture.parts import POSTGRES, PROCESSES
from engage.torture.plan import Step
from engage.torture.system import System

EVERY_PROCESS = "*"


@asynccontextmanager
async def cut(system: System, step: Step) -> AsyncIterator[None]:
    await _order(system, step, "cut")
    yield


@asynccontextmanager
async def refuse(system: System, step: Step) -> AsyncIterator[None]:
    async with _broken(system, step, "refuse"):
        yield


@asynccontextmanager
async def blackhole(system: System, step: Step) -> AsyncIterator[None]:
    """Lose every byte. Connections of the time stay silent for ever."""
    async with _broken(system, step, "silence"):
        yield


@asynccontextmanager
async def slow(system: System, step: Step) -> AsyncIterator[None]:
    async with _broken(system, step, "slow"):
        yield


@asynccontextmanager
async def commit_cut(system: System, step: Step) -> AsyncIterator[None]:
    """Lose the answer to the first commit of the process within the step."""
    async with _at_commit(system, step, pid=None):
        yield


@asynccontextmanager
async def commit_kill(system: System, step: Step) -> AsyncIterator[None]:
    """Kill the process at its first commit within the step, before it has the answer."""
    async with _at_commit(system, step, pid=system.pid(step.target)):
        yield


@asynccontextmanager
async def _at_commit(system: System, step: Step, *, pid: int | None) -> AsyncIterator[None]:
    link = f"{step.target}/{POSTGRES}"
    await system.links.order("cut_at_commit", link, pid=pid)
    try:
        yield
    finally:
        await system.links.order("forget_commit", link)


@asynccontextmanager
async def _broken(system: System, step: Step, action: Action) -> AsyncIterator[None]:
    await _order(system, step, action)
    try:
        yield
    finally:
        await _order(system, step, "heal")


async def _order(system: System, step: Step, action: Action) -> None:
    process, _, server = step.target.partition("/")
    for name in PROCESSES if process == EVERY_PROCESS else (process,):
        await system.links.order(action, f"{name}/{server}", delay_s=step.parameters.get("delay_s", 0.0))
