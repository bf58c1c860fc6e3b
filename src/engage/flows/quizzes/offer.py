"""The quizzes that a program offers a member, with the terms that apply."""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct

from engage.domain.earning.terms import EarningTerms
from engage.domain.program.program import Program
from engage.domain.quizzes.definition import Quiz
from engage.domain.quizzes.kind import QUIZ
from engage.domain.refusals import Code, Refusal
from engage.runtime.definition_cache import Versioned
from engage.runtime.services import Services
from engage.store.members.members import Member


class QuizOffer(Struct, frozen=True):
    """The program and the zone that apply to a member. `quizzes` are those that are open, in their order."""

    program: Program
    zone: str
    quizzes: dict[str, Versioned[Quiz]]

    @property
    def terms(self) -> EarningTerms:
        return self.program.earning


def offer_to(
    services: Services, member: Member | None, *, now: datetime, campaigns: Collection[str] = ()
) -> QuizOffer:
    """The quizzes of the program, and of `campaigns` that are for the member. Raises Refusal unknown_member,
    not_offered.
    """
    if member is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    program, market = services.programs.in_force(member.program_id, at=now, country=member.country)
    quizzes = services.definitions.in_force(
        QUIZ, member.program_id, at=now, country=member.country, campaigns=campaigns
    )
    opened = {quiz.id: quiz for quiz in quizzes if quiz.definition.is_open(now, market.zone)}
    return QuizOffer(program, market.zone, opened)
