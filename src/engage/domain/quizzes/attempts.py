"""Attempts at a quiz: how many are left in a window, and what an answered one pays."""

from collections.abc import Collection
from datetime import datetime
from itertools import count

from msgspec import Struct

from engage.domain import calendar
from engage.domain.activity import QuizAttempt
from engage.domain.calendar import Period
from engage.domain.earning.credit import NewCredit, new_credit
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.trace import TraceCode, TraceStep, step
from engage.domain.keys import quiz_key, quiz_rule
from engage.domain.quizzes.definition import Quiz
from engage.domain.quizzes.grading import Grade
from engage.domain.refusals import Code, Refusal


class AttemptPlace(Struct, frozen=True):
    """The place of an attempt in a window, counted from 1. `window` is the label."""

    window: str
    number: int


def window_of(quiz: Quiz, at: datetime, zone: str) -> Period:
    """The window that an attempt at that time counts in."""
    return calendar.period(quiz.attempts.window, at, zone)


def attempts_left(quiz: Quiz, used: int) -> int:
    """`used`: attempts that the member has begun in the window, expired ones too."""
    return max(quiz.attempts.count - used, 0)


def next_place(
    quiz: Quiz, *, used: int, latest: int, taken: Collection[str] = (), at: datetime, zone: str
) -> AttemptPlace:
    """The place of a new attempt. `latest` is the highest number in the window: after a merger it may be more
    than those `used`. `taken` are source keys that an earlier account of the person has used.

    Raises Refusal no_attempts_left.
    """
    window = window_of(quiz, at, zone)
    if not attempts_left(quiz, used):
        raise Refusal(Code.NO_ATTEMPTS_LEFT, resets_at=window.end, zone=zone)
    numbers = (n for n in count(latest + 1) if quiz_key(quiz.id, window.label, n) not in taken)
    return AttemptPlace(window.label, next(numbers))


def check_time(*, expires_at: datetime, at: datetime, zone: str) -> None:
    """Raises Refusal attempt_expired."""
    if at >= expires_at:
        raise Refusal(Code.ATTEMPT_EXPIRED, expires_at=expires_at, zone=zone)


def credit_of(
    terms: EarningTerms,
    quiz: Quiz,
    graded: Grade,
    answered: QuizAttempt,
    place: AttemptPlace,
    *,
    version: str,
    at: datetime,
    zone: str,
) -> NewCredit | None:
    """The credit of an answered attempt; None if it pays nothing. `version` is that of the quiz."""
    if not graded.points:
        return None
    return new_credit(
        terms,
        quiz_rule(quiz.id),
        graded.points,
        answered,
        source_key=quiz_key(quiz.id, place.window, place.number),
        due=quiz.due,
        inputs={"quiz_version": version, "correct": graded.correct, "total": graded.total},
        at=at,
        zone=zone,
        trace=_trace(quiz, graded),
    )


def _trace(quiz: Quiz, graded: Grade) -> list[TraceStep]:
    """The last step has all points of the credit."""
    rule, total = quiz_rule(quiz.id), graded.total
    bonus = graded.points_full_score
    steps = [step(TraceCode.QUIZ_FULL_SCORE, rule=rule, total=total, points=bonus)] if bonus else []
    answers = step(
        TraceCode.QUIZ_ANSWERS, rule=rule, correct=graded.correct, total=total, points=graded.points
    )
    return [*steps, answers]
