"""Quizzes: the open ones, attempts and their answers."""

from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import PathParameter
from msgspec import Meta, Struct

from engage.api.http.answers import NOT_STORED, Answer, Headers, answer
from engage.api.http.batching import BatchedFlow
from engage.api.http.bodies import EmptyRequest, check_query, read_empty, read_json
from engage.api.http.callers import member_idempotency, member_of, members_only, protected_origin
from engage.api.http.credits import EarnedCredit, earned
from engage.api.http.idempotency import keyed
from engage.api.http.operation import MEMBER, Repeat, contract
from engage.api.http.problems import language_of
from engage.domain.activity import Identifier
from engage.domain.quizzes.definition import OPTIONS, QUESTIONS
from engage.domain.refusals import UseCase
from engage.flows.quizzes.answer import AnswerRequest
from engage.flows.quizzes.answer import answer as grade
from engage.flows.quizzes.open_quizzes import QuizView, read_quizzes
from engage.flows.quizzes.start import StartRequest, start
from engage.flows.quizzes.views import ReviewedQuestion, StartedAttempt

QuizIdParameter = Annotated[str, PathParameter(description="The id of the quiz.")]
AttemptIdParameter = Annotated[UUID, PathParameter(description="The id of the attempt.")]

# A question may be answered with more options than there are, and is wrong then.
Chosen = Annotated[list[Identifier], Meta(max_length=2 * OPTIONS)]


class QuizList(Struct, frozen=True):
    """All open quizzes. `next_cursor` is always null."""

    items: list[QuizView]
    next_cursor: None = None


class QuizResult(Struct, frozen=True):
    """The grade of an attempt, what it earned, and the right answers."""

    correct: int
    total: int
    passed: bool
    credits: list[EarnedCredit]
    review: list[ReviewedQuestion]


class AnswersRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The chosen options of each question, in their order where that is the answer. A question that is left
    out is wrong.
    """

    answers: Annotated[dict[Identifier, Chosen], Meta(max_length=QUESTIONS)]


# Each batch has a transaction, and none locks what another one of this process waits for.
START: Final = BatchedFlow(start, max_size=64, in_flight=2)
ANSWER: Final = BatchedFlow(grade, max_size=64, in_flight=2)


def _headers(language: str) -> Headers:
    return [*NOT_STORED, (b"content-language", language.encode()), (b"vary", b"accept-language")]


_answers = msgspec.json.Decoder(AnswersRequest)


def _started(attempt: StartedAttempt, *, language: str) -> Answer[StartedAttempt]:
    return answer(attempt, 201, headers=_headers(language))


class QuizController(Controller):
    path = "/v1/quizzes"
    tags = ("Quizzes",)
    security = (MEMBER,)

    @get(
        operation_id="listQuizzes",
        summary="List open quizzes",
        response_description="The open quizzes, with the attempts that are left.",
        opt=contract(UseCase.LIST_QUIZZES),
    )
    async def quizzes(self, request: Request[Any, Any, Any]) -> Answer[QuizList]:
        """Titles are in the language of `Accept-Language`. `attempts_left` does not count an attempt that has
        begun: it goes on until `open_until`.
        """
        api, member = await member_of(request.scope)
        check_query(request)
        language = language_of(request.scope)
        with members_only():
            found = await read_quizzes(api.services, member.program_id, member.member_id, language=language)
        return answer(QuizList(found), headers=_headers(language))

    @post(
        "/{quiz_id:str}/attempts",
        status_code=201,
        middleware=(member_idempotency(),),
        operation_id="startQuiz",
        summary="Begin an attempt at a quiz",
        response_description="The attempt has begun, or is still open.",
        opt=contract(UseCase.START_QUIZ, body=EmptyRequest, body_optional=True, repeat=Repeat.KEY),
    )
    async def start(
        self, request: Request[Any, Any, Any], quiz_id: QuizIdParameter
    ) -> Answer[StartedAttempt]:
        """The questions and their options, in the order of this attempt. An attempt that is still open is
        answered again and not counted twice. One that runs out is used.
        """
        api, member = await member_of(request.scope)
        await read_empty(request)
        language = language_of(request.scope)
        shape = partial(_started, language=language)
        wanted = StartRequest(
            member.program_id, member.member_id, quiz_id, language, keyed(request.scope, shape)
        )
        with members_only():
            return shape(await api.batchers.submit(START, wanted))

    @post(
        "/{quiz_id:str}/attempts/{attempt_id:uuid}/answers",
        status_code=202,
        middleware=(member_idempotency(),),
        operation_id="answerQuiz",
        summary="Answer an attempt at a quiz",
        response_description="The answers are graded. What they earn is pending.",
        opt=contract(UseCase.ANSWER_QUIZ, body=AnswersRequest, repeat=Repeat.HARMLESS),
    )
    async def answer(
        self, request: Request[Any, Any, Any], quiz_id: QuizIdParameter, attempt_id: AttemptIdParameter
    ) -> Answer[QuizResult]:
        """An attempt is answered once, as a whole. The same answers again are answered again."""
        api, member = await member_of(request.scope)
        given = await read_json(request, _answers)
        answers = AnswerRequest(
            member.program_id,
            member.member_id,
            quiz_id,
            attempt_id,
            given.answers,
            language_of(request.scope),
            protected_origin(api, request.scope, member),
        )
        with members_only():
            graded = await api.batchers.submit(ANSWER, answers)
        credits = earned(graded.credits, answers.language)
        result = QuizResult(graded.correct, graded.total, graded.passed, credits, graded.review)
        return answer(result, 202, headers=_headers(answers.language))
