"""Requests of a batch are answered each by itself, in order."""

from collections.abc import Sequence

import pytest

from engage.domain.refusals import AccountFull, Code, Refusal
from engage.runtime.batch import decide_each, in_parts, not_refused, refused


def test_each_item_sees_what_the_ones_before_it_have_taken() -> None:
    left = 10

    def take(points: int) -> int:
        nonlocal left
        if points > left:
            raise Refusal(Code.SOLD_OUT)
        left -= points
        return left

    first, second, third = decide_each([6, 5, 4], take)
    assert (first, third) == (4, 0)
    assert isinstance(second, Refusal)


def test_a_request_that_was_refused_when_prepared_is_not_decided() -> None:
    refusal = Refusal(Code.UNKNOWN_MEMBER)
    prepared: list[int | Refusal] = [1, refusal, 3]
    assert decide_each(prepared, lambda n: 10 * n) == [10, refusal, 30]
    assert (not_refused(prepared), refused(prepared)) == ([1, 3], [refusal])


def test_a_bug_is_not_an_answer() -> None:
    with pytest.raises(ZeroDivisionError):
        decide_each([1, 0], lambda n: 1 // n)


async def test_only_the_item_that_an_account_is_too_full_for_is_refused() -> None:
    taken: list[int] = []

    async def take(part: Sequence[int]) -> list[int | Refusal]:
        if 3 in part or 4 in part:
            raise AccountFull(10)
        taken.extend(part)
        return [10 * n for n in part]

    answers = await in_parts(range(1, 8), take)
    assert [n for n, answer in enumerate(answers, start=1) if isinstance(answer, AccountFull)] == [3, 4]
    assert not_refused(answers) == [10, 20, 50, 60, 70]
    assert taken == [1, 2, 5, 6, 7], "each once, in order"
    assert await in_parts([], take) == []
