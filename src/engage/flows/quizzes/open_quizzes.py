"""The quizzes that a member can take, and how many attempts they have left."""

from datetime import datetime

from msgspec import Struct

from engage.domain.document.texts import text_in
from engage.domain.quizzes.attempts import attempts_left, window_of
from engage.domain.quizzes.kind import QUIZ
from engage.flows.quizzes.offer import offer_to
from engage.runtime.database import one_statement
from engage.runtime.offered import campaigns_offering
from engage.runtime.services import Services
from engage.store.quizzes.attempts import AttemptsQuery, read_used


class QuizView(Struct, frozen=True):
    """A quiz that is open. `questions` is the number asked in an attempt, `points_max` what a full score
    earns. New attempts come at `resets_at`, null if there are none but these. An attempt that has begun can
    be answered until `open_until`.
    """

    id: str
    title: str
    questions: int
    time_limit_s: int
    attempts_left: int
    resets_at: datetime | None
    points_max: int
    closes_at: datetime | None
    open_until: datetime | None


async def read_quizzes(
    services: Services, program_id: str, member_id: str, *, language: str
) -> list[QuizView]:
    """Read the open quizzes, those of the program's document first.

    Raises Refusal unknown_member, not_offered; Unavailable.
    """
    now = services.clock.now()
    member = await services.members.get(services.db, program_id, member_id)
    campaigns = await campaigns_offering(services, services.db, QUIZ, [member], at=now)
    offer = offer_to(services, member, now=now, campaigns=campaigns.get(member.key, ()))
    windows = {id_: window_of(version.definition, now, offer.zone) for id_, version in offer.quizzes.items()}
    queries = {id_: AttemptsQuery(*member.key, id_, window.label) for id_, window in windows.items()}
    if not queries:
        return []
    async with one_statement(services.db) as conn:
        found = await read_used(conn, queries.values(), now=now)
    views = []
    for id_, version in offer.quizzes.items():
        quiz, attempts = version.definition, found[queries[id_]]
        view = QuizView(
            id=id_,
            title=text_in(quiz.title, language),
            questions=quiz.asked,
            time_limit_s=int(quiz.time_limit.total_seconds()),
            attempts_left=attempts_left(quiz, attempts.used),
            resets_at=windows[id_].end,
            points_max=quiz.points_max,
            closes_at=quiz.ends_at(offer.zone),
            open_until=None if attempts.open is None else attempts.open.expires_at,
        )
        views.append(view)
    return views
