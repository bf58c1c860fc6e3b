"""Quizzes as documents and operators define them."""

from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta

from engage.domain.activity import Identifier
from engage.domain.calendar import PeriodKind
from engage.domain.definitions.definition import Scheduled
from engage.domain.document.fields import DocumentStruct
from engage.domain.document.texts import LongTexts
from engage.domain.earning.due import USUAL, After, NextDay

QuestionKind = Literal["one", "several", "order"]

QuizPoints = Annotated[int, Meta(ge=1, le=100_000)]

QUESTIONS, OPTIONS = 500, 20


class QuizAttempts(DocumentStruct, frozen=True):
    """Attempts of a member: `count` in each window of their zone, or ever."""

    count: Annotated[int, Meta(ge=1, le=1_000)]
    window: PeriodKind


class Option(DocumentStruct, frozen=True):
    """An answer to choose."""

    id: Identifier
    text: LongTexts


class Question(DocumentStruct, frozen=True):
    """`right` is the only right option of `one`, all right options of `several`, and the right order of all
    options of `order`.
    """

    id: Identifier
    kind: QuestionKind
    text: LongTexts
    options: Annotated[list[Option], Meta(min_length=2, max_length=OPTIONS)]
    right: Annotated[list[Identifier], Meta(min_length=1, max_length=OPTIONS)]
    explanation: LongTexts | None = None


class Quiz(Scheduled, frozen=True, kw_only=True):
    """`draw` of the questions are asked in an attempt; all of them without it. With `shuffle` questions and
    options stand in another order in each attempt; the options of `order` always do.

    `points_full_score` comes on top of `points_per_right`. Below `pass_mark` right answers nothing is paid.
    """

    attempts: QuizAttempts
    time_limit: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as PT2M")]
    draw: Annotated[int, Meta(ge=1, le=QUESTIONS)] | None = None
    shuffle: bool = False
    pass_mark: Annotated[int, Meta(ge=0, le=QUESTIONS)] | None = None
    points_per_right: QuizPoints | None = None
    points_full_score: QuizPoints | None = None
    due: After | NextDay = USUAL
    questions: Annotated[list[Question], Meta(min_length=1, max_length=QUESTIONS)]

    @property
    def asked(self) -> int:
        """The number of questions in an attempt."""
        return len(self.questions) if self.draw is None else self.draw

    @property
    def points_max(self) -> int:
        return self.asked * (self.points_per_right or 0) + (self.points_full_score or 0)
