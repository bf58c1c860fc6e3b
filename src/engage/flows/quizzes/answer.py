"""Answer attempts at quizzes: graded here, and paid once.

Answers of many callers share a transaction, which writes the answers with their grade and the credits. An
attempt is locked while it is answered, so the first answers count, however many are sent at once.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.activity import QuizAttempt
from engage.domain.identity import Origin
from engage.domain.keys import AttemptKey, quiz_reference, quiz_rule
from engage.domain.protection.suspicion import Suspicion
from engage.domain.quizzes.attempts import AttemptPlace, check_time, credit_of
from engage.domain.quizzes.definition import Question, Quiz
from engage.domain.quizzes.grading import Answers, Grade, check_answers, grade, normalized
from engage.domain.quizzes.kind import QUIZ
from engage.domain.quizzes.paper import paper
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.activity import CreditView, view_of
from engage.flows.quizzes.offer import QuizOffer, offer_to
from engage.flows.quizzes.views import ReviewedQuestion, review_in
from engage.ledger.accept import CreditToAccept
from engage.ledger.credits import read_by_reference
from engage.runtime.batch import decide_each, in_parts, not_refused, refused
from engage.runtime.campaign_cache import CampaignCache
from engage.runtime.ids import new_id
from engage.runtime.member_cache import with_current_members
from engage.runtime.posting import Posting, open_posting
from engage.runtime.reservations import Promise, reserve
from engage.runtime.services import Services
from engage.runtime.velocity import Observed, hold_back, suspicions_of
from engage.store.members.members import Member, lock_open
from engage.store.quizzes.attempts import Attempt, lock_attempts, write_answers


class AnswerRequest(Struct, frozen=True):
    """The answers to an attempt. `language` is that of the review, `origin` where they come from."""

    program_id: str
    member_id: str
    quiz_id: str
    attempt_id: UUID
    answers: Answers
    language: str
    origin: Origin | None = None


class GradedAttempt(Struct, frozen=True):
    """The grade of an attempt, what it earned, and the right answers."""

    correct: int
    total: int
    passed: bool
    credits: list[CreditView]
    review: list[ReviewedQuestion]


class _Given(Struct, frozen=True):
    """Answers of a member, and what applies to them. What they earn is held where they are suspicious."""

    member: Member
    offer: QuizOffer
    request: AnswerRequest
    suspicion: Suspicion | None = None

    @property
    def key(self) -> AttemptKey:
        return *self.member.key, self.request.attempt_id


class _State(Struct):
    """Attempts under lock, each with its quiz and paper, changed by one answer after the other. `paid` are
    the credits of attempts that were answered before.
    """

    now: datetime
    attempts: dict[AttemptKey, Attempt]
    papers: dict[AttemptKey, tuple[Quiz, list[Question]]]
    paid: dict[AttemptKey, list[CreditView]]
    answered: dict[AttemptKey, Attempt]
    accepting: dict[AttemptKey, CreditToAccept]
    campaigns: CampaignCache


async def answer(services: Services, requests: Sequence[AnswerRequest]) -> list[GradedAttempt | Refusal]:
    """Grade answers; the grades in order. The same answers again are answered again.

    Refusals: unknown_member, not_offered, not_found, invalid_request, already_answered, attempt_expired,
    too_many_points, budget_exhausted. Raises Unavailable.
    """
    return await with_current_members(
        services.members, services.db, lambda: in_parts(requests, partial(_answer, services))
    )


async def _answer(services: Services, requests: Sequence[AnswerRequest]) -> list[GradedAttempt | Refusal]:
    """Raises AccountClosed, AccountFull."""
    now = services.clock.now()
    keys = [(request.program_id, request.member_id) for request in requests]
    members = await services.members.find(services.db, keys)
    given = decide_each(
        requests,
        lambda request: _given(
            services, members.get((request.program_id, request.member_id)), request, now=now
        ),
    )
    valid = not_refused(given)
    if not valid:
        return [*refused(given)]
    given = await _look_for_farming(services, given, now=now)
    valid = not_refused(given)
    async with open_posting(services, cause="pending") as posting:
        state = await _lock(services, posting, valid, now=now)
        graded = decide_each(given, partial(_grade, state))
        if state.accepting:
            graded = await _within_budgets(services, posting, state, given, graded)
        if state.answered:
            await write_answers(posting.conn, list(state.answered.values()))
    return graded


async def _look_for_farming(
    services: Services, given: Sequence[_Given | Refusal], *, now: datetime
) -> list[_Given | Refusal]:
    """The answers, each with what is suspicious about them. Raises Unavailable."""
    observed = [
        Observed(
            program=each.offer.program,
            member_id=each.member.member_id,
            origin=each.request.origin,
            name="quiz_attempt",
            activity=quiz_reference(each.request.attempt_id),
            at=now,
            zone=each.offer.zone,
        )
        for each in not_refused(given)
    ]
    found = iter(await suspicions_of(services, observed))
    return decide_each(given, lambda each: replace(each, suspicion=next(found)))


async def _within_budgets(
    services: Services,
    posting: Posting,
    state: _State,
    given: Sequence[_Given | Refusal],
    graded: Sequence[GradedAttempt | Refusal],
) -> list[GradedAttempt | Refusal]:
    """The grades, with the credits accepted. An attempt that the budget of its campaign cannot pay stays
    open.
    """
    rows = state.accepting
    promises = [Promise(key[:2], row.credit.rule_id, row.credit.points) for key, row in rows.items()]
    taken = dict(zip(rows, await reserve(services, posting.conn, promises, now=state.now), strict=True))
    exhausted = {key: each.campaign for key, each in taken.items() if each.is_exhausted}
    paying = {key: row for key, row in rows.items() if key not in exhausted}
    reserved = {row.id for key, row in paying.items() if taken[key].points}
    accepted = await posting.accept(list(paying.values()), now=state.now, reserved=reserved)
    assert accepted.issuperset(row.id for row in paying.values()), "a place in a window has one credit"
    for key in exhausted:
        del state.answered[key]
    return [
        Refusal(Code.BUDGET_EXHAUSTED, campaign=exhausted[each.key])
        if not isinstance(each, Refusal) and each.key in exhausted
        else answer
        for each, answer in zip(given, graded, strict=True)
    ]


def _given(services: Services, member: Member | None, request: AnswerRequest, *, now: datetime) -> _Given:
    """Raises Refusal unknown_member, not_offered."""
    offer = offer_to(services, member, now=now)
    assert member is not None
    return _Given(member, offer, request)


async def _lock(services: Services, posting: Posting, valid: Sequence[_Given], *, now: datetime) -> _State:
    await lock_open(posting.conn, [given.member.key for given in valid])
    attempts = await lock_attempts(posting.conn, [given.key for given in valid])
    papers = {}
    for key, attempt in attempts.items():
        quiz = await services.definitions.version(
            services.db, QUIZ, attempt.program_id, attempt.quiz_id, attempt.version
        )
        papers[key] = quiz, paper(quiz, attempt.seed)
    references = {
        (attempt.program_id, attempt.member_id, quiz_reference(attempt.id)): attempt
        for attempt in attempts.values()
        if attempt.credit_id is not None
    }
    paid = {
        references[reference].key: [
            CreditView(
                credit.id,
                quiz_rule(references[reference].quiz_id),
                credit.points,
                credit.state,
                credit.due_at,
                credit.lapses_at,
                credit.why,
                campaign=credit.campaign,
            )
            for credit in (found.credit for found in credits)
        ]
        for reference, credits in (await read_by_reference(posting.conn, list(references))).items()
    }
    return _State(now, attempts, papers, paid, {}, {}, services.campaigns)


def _grade(state: _State, given: _Given) -> GradedAttempt:
    """Raises Refusal not_found, invalid_request, already_answered, attempt_expired."""
    request, key = given.request, given.key
    attempt = state.answered.get(key) or state.attempts.get(key)
    if attempt is None or attempt.quiz_id != request.quiz_id:
        raise Refusal(Code.NOT_FOUND)
    quiz, questions = state.papers[key]
    check_answers(questions, request.answers)
    answers = normalized(questions, request.answers)
    if attempt.answers is not None and attempt.answers != answers:
        raise Refusal(Code.ALREADY_ANSWERED)
    graded = grade(quiz, questions, answers)
    if attempt.answers is None:
        check_time(expires_at=attempt.expires_at, at=state.now, zone=given.offer.zone)
        _pay(state, given, attempt, quiz, graded, answers)
    return GradedAttempt(
        graded.correct,
        graded.total,
        graded.passed,
        state.paid.get(key, []),
        review_in(questions, graded.right, request.language),
    )


def _pay(
    state: _State, given: _Given, attempt: Attempt, quiz: Quiz, graded: Grade, answers: dict[str, list[str]]
) -> None:
    """Answer the attempt, with the credit that it earns."""
    # Another process may have begun it by a clock that is a little ahead.
    at = max(state.now, attempt.started_at)
    credit = credit_of(
        given.offer.terms,
        quiz,
        graded,
        QuizAttempt(quiz_id=quiz.id, attempt_id=attempt.id),
        AttemptPlace(attempt.of_window, attempt.number),
        version=attempt.version,
        at=at,
        zone=given.offer.zone,
    )
    credit_id = None
    if credit is not None:
        credit_id = new_id()
        named = state.campaigns.named(given.member.program_id, credit)
        row = CreditToAccept(*given.member.key, credit_id, named)
        accepting = hold_back(given.offer.terms, row, given.suspicion)
        state.accepting[given.key] = accepting
        state.paid[given.key] = [view_of(accepting)]
    state.answered[given.key] = replace(
        attempt,
        answered_at=at,
        answers=answers,
        correct=graded.correct,
        points=graded.points,
        credit_id=credit_id,
    )
