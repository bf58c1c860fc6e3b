"""The tasks of a member: all that they can earn now, read from PostgreSQL by one statement, after the facts
that decide whether campaigns are for the member, where there are such.

A feature that has something to earn adds its source to `SOURCES`, as it adds a section to the home screen.
"""

from msgspec import Struct

from engage.domain.refusals import Code, Refusal
from engage.domain.tasks import Task
from engage.flows.activities.tasks import TASKS as RULES
from engage.flows.challenges.tasks import TASKS as CHALLENGES
from engage.flows.draws.tasks import TASKS as DRAWS
from engage.flows.games.tasks import TASKS as GAMES
from engage.flows.quizzes.tasks import TASKS as QUIZZES
from engage.flows.referrals.tasks import TASKS as REFERRALS
from engage.ledger import home as ledger
from engage.runtime.audiences import campaigns_for, with_rules_of
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.runtime.tasks import TaskContext

SOURCES = (RULES, CHALLENGES, QUIZZES, GAMES, DRAWS, REFERRALS)


class MemberTasks(Struct, frozen=True):
    """`context` is None, and there are no tasks, while the program offers nothing in the member's country."""

    context: TaskContext | None
    tasks: list[Task]


async def read_tasks(services: Services, program_id: str, member_id: str) -> MemberTasks:
    """Read a member's tasks, in the order of `SOURCES`. Raises Refusal unknown_member; Unavailable."""
    now = services.clock.now()
    member = await services.members.get(services.db, program_id, member_id)
    try:
        program, market = services.programs.in_force(program_id, at=now, country=member.country)
    except Refusal:
        return MemberTasks(None, [])
    async with one_statement(services.db) as conn:
        campaigns = await campaigns_for(services, conn, member, program, zone=market.zone, at=now)
        terms = services.campaigns.terms(program, with_rules_of(campaigns))
        context = TaskContext(services, now, member, program, market, terms, campaigns)
        parameters: dict[str, object] = {}
        for source in SOURCES:
            parameters |= source.parameters(context)
        read = await ledger.read_homes(
            conn,
            member.program_id,
            [member.member_id],
            now=now,
            sections=[source.select(context) for source in SOURCES],
            parameters=parameters,
        )
    if member.member_id not in read:
        raise Refusal(Code.UNKNOWN_MEMBER)
    _, values = read[member.member_id]
    found = [source.view(context, value) for source, value in zip(SOURCES, values, strict=True)]
    return MemberTasks(context, [task for tasks in found for task in tasks])
