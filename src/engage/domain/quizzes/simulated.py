"""The quizzes of a simulated member: the specification of the flows."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from msgspec import Struct

from engage.domain.activity import QuizAttempt
from engage.domain.earning.credit import NewCredit
from engage.domain.keys import quiz_reference, quiz_rule
from engage.domain.quizzes.attempts import AttemptPlace, check_time, credit_of, next_place, window_of
from engage.domain.quizzes.definition import Question, Quiz
from engage.domain.quizzes.grading import Answers, Grade, check_answers, grade, normalized
from engage.domain.quizzes.paper import paper
from engage.domain.refusals import Code, Refusal
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember


class SimulatedAttempt(Struct):
    """An attempt, and its answers and grade once it is answered."""

    id: UUID
    quiz: Quiz
    place: AttemptPlace
    questions: Sequence[Question]
    expires_at: datetime
    answers: Answers | None = None
    graded: Grade | None = None
    credit: NewCredit | None = None


class SimulatedQuizzes(SimulatedFeature):
    """The attempts of one member. Their seeds follow from their places."""

    def __init__(self, member: SimulatedMember, quizzes: Sequence[Quiz]) -> None:
        self._member = member
        self._quizzes = {quiz.id: quiz for quiz in quizzes}
        self._attempts: dict[str, list[SimulatedAttempt]] = {}

    def used(self, quiz_id: str, at: datetime) -> int:
        """The attempts that count in the window of that time."""
        window = window_of(self._quizzes[quiz_id], at, self._zone)
        return sum(attempt.place.window == window.label for attempt in self._attempts.get(quiz_id, ()))

    def start(self, quiz_id: str, at: datetime) -> SimulatedAttempt:
        """Begin an attempt, or go on with the open one. Raises Refusal not_found, no_attempts_left."""
        latest = self._latest(quiz_id)
        if latest is not None and latest.answers is None and at < latest.expires_at:
            return latest
        quiz = self._quizzes.get(quiz_id)
        if quiz is None or not self._is_open(quiz, at):
            raise Refusal(Code.NOT_FOUND)
        used = self.used(quiz_id, at)
        place = next_place(quiz, used=used, latest=used, at=at, zone=self._zone)
        seed = sha256(f"{quiz_id}:{place.window}:{place.number}".encode()).digest()
        id_ = self._member.account.new_id()
        attempt = SimulatedAttempt(id_, quiz, place, paper(quiz, seed), at + quiz.time_limit)
        self._attempts.setdefault(quiz_id, []).append(attempt)
        return attempt

    def answer(self, quiz_id: str, answers: Answers, at: datetime) -> SimulatedAttempt:
        """Answer the attempt that was begun last. The same answers again change nothing.

        Raises Refusal not_found, invalid_request, already_answered, attempt_expired, budget_exhausted.
        """
        attempt = self._latest(quiz_id)
        if attempt is None:
            raise Refusal(Code.NOT_FOUND)
        check_answers(attempt.questions, answers)
        given = normalized(attempt.questions, answers)
        if attempt.answers is not None:
            if given != attempt.answers:
                raise Refusal(Code.ALREADY_ANSWERED)
            return attempt
        check_time(expires_at=attempt.expires_at, at=at, zone=self._zone)
        graded = grade(attempt.quiz, attempt.questions, given)
        answered = QuizAttempt(quiz_id=quiz_id, attempt_id=attempt.id)
        credit = credit_of(
            self._member.terms,
            attempt.quiz,
            graded,
            answered,
            attempt.place,
            version=self._member.terms.version,
            at=at,
            zone=self._zone,
        )
        earned = [] if credit is None else [credit]
        earned = self._member.held_back("quiz_attempt", quiz_reference(attempt.id), earned, at)
        if earned:
            self._member.check_budget(earned, at)
            self._member.account.add(earned[0])
        attempt.answers, attempt.graded, attempt.credit = given, graded, next(iter(earned), None)
        return attempt

    def right_answers(self, quiz_id: str, count: int | None) -> Answers:
        """The right answers to the first `count` questions of the latest attempt, or to all of them."""
        latest = self._latest(quiz_id)
        return {} if latest is None else right_answers(latest.questions, count)

    def _is_open(self, quiz: Quiz, at: datetime) -> bool:
        return quiz.is_open(at, self._zone) and self._member.offers(quiz_rule(quiz.id), at)

    @property
    def _zone(self) -> str:
        return self._member.market.zone

    def _latest(self, quiz_id: str) -> SimulatedAttempt | None:
        attempts = self._attempts.get(quiz_id)
        return attempts[-1] if attempts else None


def right_answers(questions: Sequence[Question], count: int | None) -> Answers:
    """The right answers to the first `count` questions, or to all of them."""
    return {question.id: question.right for question in questions[:count]}
