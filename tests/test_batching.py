"""Callers who share round trips: each gets its own answer, and nobody waits for a timer or for ever."""

import asyncio
from collections.abc import Sequence

import pytest

from engage import batching
from engage.batching import Batcher
from engage.domain.refusals import Unavailable


class Slow:
    """Answers ten times the number; a batch takes until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.at_once = 0
        self.most_at_once = 0

    async def run(self, items: list[int]) -> Sequence[int | Exception]:
        self.batches.append(items)
        gate = asyncio.Event()
        self.gates.append(gate)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await gate.wait()
        self.at_once -= 1
        return [ValueError(item) if item < 0 else item * 10 for item in items]

    async def let_go(self, number: int) -> None:
        while len(self.gates) <= number:
            await asyncio.sleep(0)
        self.gates[number].set()


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_an_idle_caller_waits_for_nobody_and_busy_ones_share() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow.run, max_size=10)
    first = asyncio.ensure_future(batcher.submit(1))
    await turns()
    assert slow.batches == [[1]]
    others = [asyncio.ensure_future(batcher.submit(n)) for n in range(2, 6)]
    await turns()
    assert slow.batches == [[1]], "while one is under way the next gathers"
    await slow.let_go(0)
    assert await first == 10
    await slow.let_go(1)
    assert await asyncio.gather(*others) == [20, 30, 40, 50]
    assert slow.batches == [[1], [2, 3, 4, 5]]


async def test_who_comes_in_the_same_turn_goes_together() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow.run, max_size=3, in_flight=2)
    asking = [asyncio.ensure_future(batcher.submit(n)) for n in range(8)]
    await turns()
    assert slow.batches == [[0, 1, 2], [3, 4, 5]]
    await slow.let_go(1)
    await turns()
    assert slow.batches[2:] == [[6, 7]]
    await slow.let_go(0)
    await slow.let_go(2)
    assert await asyncio.gather(*asking) == [10 * n for n in range(8)]
    assert slow.most_at_once == 2


async def test_one_answer_that_is_an_error_is_its_own_callers() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow.run, max_size=10)
    asking = [asyncio.ensure_future(batcher.submit(n)) for n in (1, -2, 3)]
    await slow.let_go(0)
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert (found[0], found[2]) == (10, 30)
    assert isinstance(found[1], ValueError)


async def test_what_a_batch_ends_in_all_its_callers_are_told_and_the_next_one_goes_on() -> None:
    failures: list[Exception] = [Unavailable("postgres")]

    async def run(items: list[int]) -> Sequence[int | Exception]:
        if failures:
            raise failures.pop()
        return items

    batcher: Batcher[int, int] = Batcher(run, max_size=10)
    found = await asyncio.gather(*(batcher.submit(n) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in found] == [Unavailable] * 3
    assert await batcher.submit(7) == 7


async def test_a_batch_that_is_answered_short_leaves_nobody_waiting() -> None:
    async def run(items: list[int]) -> Sequence[int | Exception]:
        return items[:-1]

    batcher: Batcher[int, int] = Batcher(run, max_size=10)
    found = await asyncio.gather(*(batcher.submit(n) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in found] == [AssertionError] * 3


async def test_a_caller_that_goes_away_disturbs_nobody() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow.run, max_size=10)
    gone, stays = (asyncio.ensure_future(batcher.submit(n)) for n in (1, 2))
    await turns()
    gone.cancel()
    await slow.let_go(0)
    assert await stays == 20
    assert gone.cancelled()


async def test_there_is_a_limit_to_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "WAITING_LIMIT", 3)
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow.run, max_size=10)
    first = asyncio.ensure_future(batcher.submit(0))
    await turns()
    waiting = [asyncio.ensure_future(batcher.submit(n)) for n in range(1, 4)]
    await turns()
    with pytest.raises(Unavailable):
        await batcher.submit(4)
    await slow.let_go(0)
    await slow.let_go(1)
    assert await asyncio.gather(first, *waiting) == [0, 10, 20, 30]


async def test_draining_waits_until_everyone_is_answered() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow.run, max_size=2)
    asking = [asyncio.ensure_future(batcher.submit(n)) for n in range(5)]
    await turns()
    draining = asyncio.ensure_future(batcher.drain())
    for number in range(3):
        assert not draining.done()
        await slow.let_go(number)
    await draining
    assert all(each.done() for each in asking)
    await batcher.drain()
