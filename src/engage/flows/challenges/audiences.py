"""The challenges of campaigns whose audience asks for facts of members.

A step is for the audience at the time of the activity that reaches it. What was paid stays the member's,
whoever is in the audience later.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.challenges.courses import Course
from engage.domain.challenges.progress import ReachedStep
from engage.flows.challenges.differences import Differences
from engage.flows.challenges.member_progress import Participant
from engage.runtime.audiences import occasion_of, reach
from engage.runtime.campaign_cache import NO_CAMPAIGNS
from engage.runtime.services import Services


class _Question(Struct, frozen=True):
    """Is a challenge for a member at an instant?"""

    participant: Participant
    challenge_id: str
    at: datetime


async def offered_courses(
    services: Services, conn: AsyncConnection, participant: Participant, *, now: datetime
) -> list[Course]:
    """The courses that are for a member now."""
    found = participant.courses
    answers = await _ask(
        services, conn, [_Question(participant, course.newest.id, now) for course in found], now=now
    )
    return [course for course, is_for in zip(found, answers, strict=True) if is_for]


async def for_members(
    services: Services, conn: AsyncConnection, found: Sequence[Differences], *, now: datetime
) -> list[Differences]:
    """The differences without what members would get for steps that were not for them."""
    return [
        replace(
            each,
            pay=[(step, number) for step, number in each.pay if step not in outside],
            give=[step for step in each.give if step not in outside],
        )
        for each, outside in zip(found, await _steps_outside(services, conn, found, now=now), strict=True)
    ]


async def _steps_outside(
    services: Services, conn: AsyncConnection, found: Sequence[Differences], *, now: datetime
) -> list[list[ReachedStep]]:
    steps = [
        (n, step) for n, each in enumerate(found) for step in (*(step for step, _ in each.pay), *each.give)
    ]
    questions = [_Question(found[n].participant, step.run.id, step.by.at) for n, step in steps]
    outside: list[list[ReachedStep]] = [[] for _ in found]
    for (n, step), is_for in zip(steps, await _ask(services, conn, questions, now=now), strict=True):
        if not is_for:
            outside[n].append(step)
    return outside


async def _ask(
    services: Services, conn: AsyncConnection, questions: Sequence[_Question], *, now: datetime
) -> list[bool]:
    indexes = await services.campaigns.at(conn, now)
    asked = []
    for each in questions:
        participant = each.participant
        campaign = participant.asking.get(each.challenge_id)
        if campaign is None:
            continue
        member, zone = participant.member, participant.market.zone
        index = indexes.get(member.program_id, NO_CAMPAIGNS)
        occasion = occasion_of(index, [campaign], member, zone=zone, at=each.at)
        asked.append((occasion, participant.program))
    answers = iter(await reach(conn, asked))
    return [each.challenge_id not in each.participant.asking or bool(next(answers)) for each in questions]
