"""Quizzes in one language, as members see them. Right answers are in a review alone."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from engage.domain.document.texts import text_in
from engage.domain.quizzes.definition import Question, QuestionKind


class OptionView(Struct, frozen=True):
    id: str
    text: str


class QuestionView(Struct, frozen=True):
    """A question with its options: one is to be chosen, or several, or all in their order."""

    id: str
    kind: QuestionKind
    text: str
    options: list[OptionView]


class StartedAttempt(Struct, frozen=True):
    """An attempt that can be answered before `expires_at`."""

    attempt_id: UUID
    questions: list[QuestionView]
    expires_at: datetime


class ReviewedQuestion(Struct, frozen=True):
    """A question that was graded. `right`: it was answered right. `right_options` are in their order where
    the order is the answer.
    """

    question_id: str
    right: bool
    right_options: list[str]
    explanation: str | None


def questions_in(questions: Sequence[Question], language: str) -> list[QuestionView]:
    return [
        QuestionView(
            question.id,
            question.kind,
            text_in(question.text, language),
            [OptionView(option.id, text_in(option.text, language)) for option in question.options],
        )
        for question in questions
    ]


def review_in(questions: Sequence[Question], right: frozenset[str], language: str) -> list[ReviewedQuestion]:
    return [
        ReviewedQuestion(
            question.id,
            question.id in right,
            question.right,
            None if question.explanation is None else text_in(question.explanation, language),
        )
        for question in questions
    ]
