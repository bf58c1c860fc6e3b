"""The paper of an attempt: which questions are asked, in which order, with which order of options.

All of it follows from the quiz and the attempt's seed, so it can be shown again as it was.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from engage.domain.fairness.sampling import sample
from engage.domain.quizzes.definition import Question, Quiz

T = TypeVar("T")

SEED_BYTES = 16


def paper(quiz: Quiz, seed: bytes) -> list[Question]:
    """The questions of an attempt as they are asked. Without shuffling they stand as in the definition."""
    everything = range(len(quiz.questions))
    drawn = everything if quiz.draw is None else _drawn(seed, ["questions"], everything, quiz.draw)
    order = _drawn(seed, ["order"], sorted(drawn), len(drawn)) if quiz.shuffle else sorted(drawn)
    return [_shuffled(seed, quiz.questions[n], shuffle=quiz.shuffle) for n in order]


def _shuffled(seed: bytes, question: Question, *, shuffle: bool) -> Question:
    """The question with its options in another order, where that is wanted or would be the answer."""
    if not shuffle and question.kind != "order":
        return question
    options = _drawn(seed, ["options", question.id], question.options, len(question.options))
    return replace(question, options=options)


def _drawn(seed: bytes, subject: list[Any], items: Sequence[T], count: int) -> list[T]:
    """Draw `count` of the items one after the other, each order as likely as any other."""
    left = list(items)
    for n in range(count):
        other = n + sample(seed, [*subject, n], len(left) - n)
        left[n], left[other] = left[other], left[n]
    return left[:count]
