"""Begin attempts at quizzes, or go on with open ones.

Requests of many callers share a transaction. An open attempt is answered again and not counted twice. Of
several that are begun at once, in whatever processes, the one that has the place is the attempt of all.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.domain.quizzes.attempts import next_place, window_of
from engage.domain.quizzes.definition import Quiz
from engage.domain.quizzes.kind import QUIZ
from engage.domain.quizzes.paper import SEED_BYTES, paper
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.quizzes.offer import offer_to
from engage.flows.quizzes.views import StartedAttempt, questions_in
from engage.runtime.batch import decide_each, not_refused, refused
from engage.runtime.database import transaction
from engage.runtime.definition_cache import Versioned
from engage.runtime.idempotency import Keyed, claim_each, keep_each
from engage.runtime.ids import new_id
from engage.runtime.member_cache import with_current_members
from engage.runtime.offered import campaigns_offering
from engage.runtime.services import Services
from engage.store.members.members import Member, lock_open
from engage.store.quizzes.attempts import Attempt, AttemptsQuery, AttemptsUsed, add_attempts, read_used

# Each round finds the attempts of those who were faster.
ROUNDS = 3


class StartRequest(Struct, frozen=True):
    """A member and the quiz that they take. `language` is that of the answer."""

    program_id: str
    member_id: str
    quiz_id: str
    language: str
    keyed: "Keyed[StartedAttempt] | None" = None


class _Wanted(Struct, frozen=True):
    """A request of a member. `quiz` is None where it is not open: then only an open attempt can go on."""

    member: Member
    quiz_id: str
    quiz: Versioned[Quiz] | None
    zone: str
    language: str
    keyed: Keyed[StartedAttempt] | None

    def query(self, now: datetime) -> AttemptsQuery:
        window = "" if self.quiz is None else window_of(self.quiz.definition, now, self.zone).label
        return AttemptsQuery(*self.member.key, self.quiz_id, window)


async def start(services: Services, requests: Sequence[StartRequest]) -> list[StartedAttempt | Refusal]:
    """Begin attempts; the papers in order.

    Refusals: unknown_member, not_found, no_attempts_left, request_in_flight. Raises Unavailable.
    """
    return await with_current_members(services.members, services.db, lambda: _start(services, requests))


async def _start(services: Services, requests: Sequence[StartRequest]) -> list[StartedAttempt | Refusal]:
    """Raises AccountClosed."""
    now = services.clock.now()
    keys = [(request.program_id, request.member_id) for request in requests]
    members = await services.members.find(services.db, keys)
    campaigns = await campaigns_offering(services, services.db, QUIZ, members.values(), at=now)
    wanted = decide_each(
        requests,
        lambda request: _wanted(
            services, members.get((request.program_id, request.member_id)), request, campaigns, now=now
        ),
    )
    if not not_refused(wanted):
        return [*refused(wanted)]
    async with transaction(services.db) as conn:
        wanted = await claim_each(conn, wanted, lambda request: request.keyed)
        valid = not_refused(wanted)
        await lock_open(conn, [request.member.key for request in valid])
        begun = await _begin(conn, wanted, now=now)
        quizzes = {
            attempt.id: await services.definitions.version(
                services.db, QUIZ, attempt.program_id, attempt.quiz_id, attempt.version
            )
            for _, attempt in not_refused(begun)
        }
        started = decide_each(begun, lambda pair: _started(quizzes[pair[1].id], *pair))
        under_keys = [request.keyed for request in requests]
        await keep_each(conn, zip(under_keys, started, strict=True))
    return started


def _wanted(
    services: Services,
    member: Member | None,
    request: StartRequest,
    campaigns: Mapping[MemberKey, frozenset[str]],
    *,
    now: datetime,
) -> _Wanted:
    """Raises Refusal unknown_member, not_found."""
    own = () if member is None else campaigns.get(member.key, ())
    try:
        offer = offer_to(services, member, now=now, campaigns=own)
    except Refusal as refusal:
        raise Refusal(Code.NOT_FOUND) if refusal.code is Code.NOT_OFFERED else refusal from None
    assert member is not None
    quiz = offer.quizzes.get(request.quiz_id)
    if quiz is None and not any(
        known.id == request.quiz_id for known in services.definitions.every(QUIZ, member.program_id)
    ):
        raise Refusal(Code.NOT_FOUND)
    return _Wanted(member, request.quiz_id, quiz, offer.zone, request.language, request.keyed)


async def _begin(
    conn: AsyncConnection, wanted: Sequence[_Wanted | Refusal], *, now: datetime
) -> list[tuple[_Wanted, Attempt] | Refusal]:
    """Each request with its attempt, begun or open. Raises Unavailable if others are always faster."""
    for _ in range(ROUNDS):
        valid = not_refused(wanted)
        found = await read_used(conn, [request.query(now) for request in valid], now=now)
        new: list[Attempt] = []
        decide = partial(_attempt, found=found, new=new, now=now)
        begun = decide_each(wanted, lambda request: (request, decide(request)))  # noqa: B023  # Called here.
        if not new or len(await add_attempts(conn, new)) == len(new):
            return begun
    raise Unavailable("postgres")


def _attempt(
    request: _Wanted, *, found: dict[AttemptsQuery, AttemptsUsed], new: list[Attempt], now: datetime
) -> Attempt:
    """The open attempt, or one that begins and is open from now on. Raises Refusal."""
    query = request.query(now)
    attempts = found[query]
    if attempts.open is not None:
        return attempts.open
    if request.quiz is None:
        raise Refusal(Code.NOT_FOUND)
    quiz = request.quiz.definition
    place = next_place(
        quiz, used=attempts.used, latest=attempts.latest, taken=attempts.taken, at=now, zone=request.zone
    )
    attempt = Attempt(
        program_id=request.member.program_id,
        member_id=request.member.member_id,
        id=new_id(),
        quiz_id=quiz.id,
        version=request.quiz.version,
        of_window=place.window,
        number=place.number,
        allowed=quiz.attempts.count,
        seed=secrets.token_bytes(SEED_BYTES),
        started_at=now,
        expires_at=now + quiz.time_limit,
    )
    new.append(attempt)
    found[query] = AttemptsUsed(attempts.used + 1, place.number, attempts.taken, attempt)
    return attempt


def _started(quiz: Quiz, request: _Wanted, attempt: Attempt) -> StartedAttempt:
    questions = questions_in(paper(quiz, attempt.seed), request.language)
    return StartedAttempt(attempt.id, questions, attempt.expires_at)
