"""Steps of examples about quizzes, and what they expect."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar, Self

from msgspec import Meta
from msgspec.structs import replace

from engage.domain.definitions.definition import DefinitionId
from engage.domain.document.errors import Problem, nearest, shown
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import Expectation, Outcome, until
from engage.domain.feature.section import Context
from engage.domain.quizzes.attempts import attempts_left
from engage.domain.quizzes.definition import QUESTIONS
from engage.domain.quizzes.simulated import SimulatedQuizzes
from engage.domain.refusals import Code
from engage.domain.simulation.member import SimulatedMember

Count = Annotated[int, Meta(ge=0, le=QUESTIONS)]


class ExpectedPaper(Expectation, frozen=True):
    """The number of questions asked, the end of the attempt, and how many attempts are left then."""

    questions: Count
    attempts_left: Count | None = None
    expires_at: datetime | None = None

    def in_words(self, zone: str) -> str:
        left = "" if self.attempts_left is None else f", {self.attempts_left} left"
        return f"{self.questions} questions{until(self.expires_at, zone)}{left}"

    def as_detailed_as(self, expected: Self | None) -> Self:
        left = self.attempts_left if expected and expected.attempts_left is not None else None
        end = self.expires_at if expected and expected.expires_at is not None else None
        return replace(self, attempts_left=left, expires_at=end)


class ExpectedGrade(Expectation, frozen=True):
    """The right answers of all, and whether they pass."""

    correct: Count
    total: Count
    passed: bool = True

    def in_words(self, zone: str) -> str:
        return f"{self.correct} of {self.total} right, {'passed' if self.passed else 'failed'}"


class QuizAction(Action, frozen=True, kw_only=True):
    """Base of the actions about a quiz."""

    quiz_id: DefinitionId

    def problems(self, path: str, context: Context, *, refused: Code | None) -> Iterator[Problem]:
        quizzes = context.ids["quizzes"]
        if refused != Code.NOT_FOUND and self.quiz_id not in quizzes:
            found = shown(self.quiz_id) + nearest(self.quiz_id, quizzes)
            yield Problem(f"{path}.quiz_id", "the id of a quiz", found)


class StartQuiz(QuizAction, frozen=True, tag="start_quiz"):
    """The member begins an attempt, or goes on with the open one."""

    results: ClassVar = frozenset({"asks"})

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        quizzes = member.feature(SimulatedQuizzes)
        attempt = quizzes.start(self.quiz_id, at)
        left = attempts_left(attempt.quiz, quizzes.used(self.quiz_id, at))
        asked = ExpectedPaper(
            questions=len(attempt.questions), attempts_left=left, expires_at=attempt.expires_at
        )
        return Outcome(results={"asks": asked})


class AnswerQuiz(QuizAction, frozen=True, kw_only=True, tag="answer_quiz"):
    """The member answers the attempt that was begun last: the first `right` questions right, or all of them,
    and leaves out the others.
    """

    results: ClassVar = frozenset({"earns", "grades", "held"})

    right: Count | None = None

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        quizzes = member.feature(SimulatedQuizzes)
        answers = quizzes.right_answers(self.quiz_id, self.right)
        attempt = quizzes.answer(self.quiz_id, answers, at)
        graded = attempt.graded
        assert graded is not None
        result = ExpectedGrade(correct=graded.correct, total=graded.total, passed=graded.passed)
        credits = [] if attempt.credit is None else [attempt.credit]
        return Outcome(credits=credits, results={"grades": result})
