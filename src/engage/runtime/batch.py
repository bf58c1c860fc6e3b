"""Requests that are decided together: a refusal of one of them does not fail the others.

A flow that takes a batch prepares each request (`decide_each`), locks what the prepared ones need in one
transaction, and decides each of them on this shared state (`decide_each` again). Its answers are the second
list: a result or a Refusal for each request, in order.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from engage.domain.refusals import AccountFull, Refusal

T = TypeVar("T")
R = TypeVar("R")


def decide_each(items: Iterable[T | Refusal], decide: Callable[[T], R]) -> list[R | Refusal]:
    """Decide each item in order, on a state that earlier decisions may have changed. An item that was refused
    before stays refused; a Refusal that `decide` raises is the answer to its item.
    """
    answers: list[R | Refusal] = []
    for item in items:
        try:
            answers.append(item if isinstance(item, Refusal) else decide(item))
        except Refusal as refusal:
            answers.append(refusal)
    return answers


def not_refused(items: Iterable[T | Refusal]) -> list[T]:
    """The items that are not a refusal, in order."""
    return [item for item in items if not isinstance(item, Refusal)]


def refused(items: Iterable[object]) -> list[Refusal]:
    """The refusals among the items, in order: the answers of a batch in which nothing is left to decide."""
    return [item for item in items if isinstance(item, Refusal)]


async def in_parts(
    items: Sequence[T], take: Callable[[Sequence[T]], Awaitable[list[R | Refusal]]]
) -> list[R | Refusal]:
    """Take items together: an answer for each, in order. Where an account is too full for one of them, take
    them in parts, each in its own transaction, until only that one is refused.
    """
    if not items:
        return []
    try:
        return await take(items)
    except AccountFull as refusal:
        if len(items) == 1:
            return [refusal]
    middle = len(items) // 2
    first = await in_parts(items[:middle], take)
    return [*first, *await in_parts(items[middle:], take)]
