"""Callers share round trips: each gets its own answer, and none waits for a timer."""

import asyncio
from collections.abc import Sequence

import pytest

from engage import batching
from engage.batching import Batcher
from engage.domain.refusals import Unavailable


class Slow:
    """A batch that answers ten times each number, when the test releases it."""

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


async def test_a_single_caller_does_not_wait_and_many_share_a_batch() -> None:
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


async def test_items_of_one_turn_of_the_loop_share_a_batch() -> None:
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


async def test_an_answer_that_is_an_error_is_raised_to_its_caller() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow.run, max_size=10)
    asking = [asyncio.ensure_future(batcher.submit(n)) for n in (1, -2, 3)]
    await slow.let_go(0)
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert (found[0], found[2]) == (10, 30)
    assert isinstance(found[1], ValueError)


async def test_a_failed_batch_is_raised_to_all_its_callers_and_the_next_one_runs() -> None:
    failures: list[Exception] = [Unavailable("postgres")]

    async def run(items: list[int]) -> Sequence[int | Exception]:
        if failures:
            raise failures.pop()
        return items

    batcher: Batcher[int, int] = Batcher(run, max_size=10)
    found = await asyncio.gather(*(batcher.submit(n) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in found] == [Unavailable] * 3
    assert await batcher.submit(7) == 7


async def test_a_batch_with_missing_answers_leaves_no_caller_waiting() -> None:
    async def run(items: list[int]) -> Sequence[int | Exception]:
        return items[:-1]

    batcher: Batcher[int, int] = Batcher(run, max_size=10)
    found = await asyncio.gather(*(batcher.submit(n) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in found] == [AssertionError] * 3


async def test_a_cancelled_caller_does_not_disturb_the_others() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow.run, max_size=10)
    gone, stays = (asyncio.ensure_future(batcher.submit(n)) for n in (1, 2))
    await turns()
    gone.cancel()
    await slow.let_go(0)
    assert await stays == 20
    assert gone.cancelled()


async def test_the_number_of_waiting_items_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_drain_waits_until_all_items_are_answered() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow.run, max_size=2)
    asking = [asyncio.ensure_future(batcher.submit(n)) for n in range(5)]
    await turns()
    draining = asyncio.ensure_future(batcher.drain())
    for number in range(3):
        assert not draining.done()
        await slow.let_go(number)
    await draining
    assert all(request.done() for request in asking)
    await batcher.drain()
