"""Loops of a process go on after any error, and the health checks see those that do not do their work."""

import asyncio
from contextlib import suppress

import pytest

from engage.connections import cancellation
from engage.domain.refusals import Unavailable
from engage.runtime import background
from engage.runtime.background import Loop, LoopProblem, Loops, running
from tests.support.eventually import WITHIN_S, eventually


class Turns:
    """Turns of a loop that raise an error while there is one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.count = 0
        self.error = error

    async def turn(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the limits of loops."""
    monkeypatch.setattr(background, "FAILING_AFTER_S", 0.05)
    monkeypatch.setattr(background, "STUCK_AFTER_S", 0.05)
    monkeypatch.setattr(background, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(background, "TURN_S", 0.1)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Unavailable("postgres"), "Unavailable: postgres"),
        (ZeroDivisionError("of a bug"), "ZeroDivisionError"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
)
async def test_a_failing_loop_goes_on_and_is_a_problem_until_it_works(
    error: BaseException, name: str
) -> None:
    loops, turns = Loops(), Turns(error)
    async with running(loops.repeat("programs", turns.turn, every_s=0.001)):
        await eventually(lambda: loops.problems() == [LoopProblem("programs", stuck=False, error=name)])
        await eventually(lambda: turns.count > 2)
        assert not loops.are_stuck()
        turns.error = None
        await eventually(lambda: loops.problems() == [])


@pytest.mark.usefixtures("quick")
async def test_a_turn_that_does_not_end_is_ended() -> None:
    loops = Loops()
    begun = 0

    async def turn() -> None:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    async with running(loops.repeat("members", turn, every_s=0.001)):
        await eventually(lambda: begun > 2)
        assert [(p.loop, p.error) for p in loops.problems()] == [("members", "TimeoutError")]


@pytest.mark.usefixtures("quick")
async def test_a_loop_that_cannot_be_ended_is_stuck() -> None:
    loops, released = Loops(), asyncio.Event()

    async def turn() -> None:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()

    async with running(loops.repeat("members", turn, every_s=0.001)):
        await eventually(loops.are_stuck)
        assert [(p.loop, p.stuck) for p in loops.problems()] == [("members", True)]
        released.set()
        await eventually(lambda: not loops.are_stuck())


@pytest.mark.parametrize("raised", [None, Unavailable("valkey")])
async def test_a_loop_ends_although_its_work_swallows_the_cancellation(raised: Exception | None) -> None:
    """As clients of servers do while they connect."""
    loops, begun = Loops(), asyncio.Event()

    async def turn() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if raised is not None:
            raise raised

    async with asyncio.timeout(WITHIN_S), running(loops.repeat("heartbeat", turn, first=True)):
        await begun.wait()


async def test_work_without_a_loop_of_ours_ends_although_it_swallows_a_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the start of an API does, which goes on until the servers answer."""
    monkeypatch.setattr(cancellation, "AGAIN_S", 0.01)
    begun = asyncio.Event()

    async def start() -> None:
        with suppress(asyncio.CancelledError):
            begun.set()
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async with asyncio.timeout(WITHIN_S), running(start()):
        await begun.wait()


async def test_an_error_of_what_ran_is_raised_at_the_end() -> None:
    begun = asyncio.Event()

    async def fail() -> None:
        begun.set()
        raise ZeroDivisionError

    failing = running(fail())
    await failing.__aenter__()
    await begun.wait()
    with pytest.raises(ZeroDivisionError):
        await failing.__aexit__(None, None, None)


@pytest.mark.usefixtures("quick")
async def test_work_that_ends_or_fails_is_begun_again() -> None:
    loops, begun = Loops(), 0

    async def work(loop: Loop) -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ZeroDivisionError
        if begun > 2:
            while True:
                loop.turned()
                await asyncio.sleep(0.001)

    async with running(loops.keep("changes", work)):
        await eventually(lambda: begun == 3 and loops.problems() == [])
