"""The challenges of a member, as the app shows them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from engage.domain.challenges.courses import Course, Run
from engage.domain.challenges.definition import AnyGoal, Repeats
from engage.domain.challenges.progress import Progress, State
from engage.domain.definitions.definition import END
from engage.domain.document.texts import text_in
from engage.flows.challenges.audiences import offered_courses
from engage.flows.challenges.member_progress import participants, read_progress
from engage.runtime.database import one_statement
from engage.runtime.services import Services

# A challenge that has ended is shown for so long.
SHOWN_AFTER: Final = timedelta(days=30)

_NOTHING: Final = Progress(0, (), ())


class StepView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step: the progress that reaches it, and what it pays. `points` is 0 where it gives a reward alone."""

    at: int
    points: int
    reward: str | UnsetType = UNSET
    reached_at: datetime | UnsetType = UNSET


class ChallengeView(Struct, frozen=True, kw_only=True):
    """A challenge in the period that is running, or in its last one.

    `parts` is the progress of each goal of an `all_of`, in the order of the goals. `ends_at` is null where no
    end is known.
    """

    id: str
    title: str
    progress: int
    goal: AnyGoal
    parts: list[int]
    steps: list[StepView]
    state: State
    repeats: Repeats | None
    begins_at: datetime
    ends_at: datetime | None


async def read_challenges(
    services: Services, program_id: str, member_id: str, *, language: str
) -> list[ChallengeView]:
    """Read the challenges that are running, and those that ended lately: the running ones first, and of these
    those that end first. Raises Refusal unknown_member; Unavailable.
    """
    now = services.clock.now()
    member = await services.members.get(services.db, program_id, member_id)
    taking_part = participants(services, [member], now=now, horizon=now - SHOWN_AFTER)
    if not taking_part:
        return []
    (found,) = taking_part
    async with one_statement(services.db) as conn:
        runs = (await read_progress(conn, taking_part))[member.key]
        courses = await offered_courses(services, conn, found, now=now)
    views = [
        _view(course, run, runs.get((run.id, run.label), (run, _NOTHING))[1], now, language)
        for course, run in _shown(courses, now, found.market.zone)
    ]
    return sorted(views, key=lambda view: (view.state != "running", view.ends_at or END, view.id))


def _shown(courses: Sequence[Course], now: datetime, zone: str) -> list[tuple[Course, Run]]:
    last = [(course, course.last_run(now, zone)) for course in courses]
    return [(course, run) for course, run in last if run is not None and run.ends_at > now - SHOWN_AFTER]


def _view(course: Course, run: Run, progress: Progress, now: datetime, language: str) -> ChallengeView:
    reached = [fact.at for fact in progress.reached]
    return ChallengeView(
        id=run.id,
        title=text_in(course.newest.title, language),
        progress=progress.progress,
        goal=run.challenge.goal,
        parts=list(progress.parts),
        steps=[
            StepView(
                at=step.at,
                points=step.points or 0,
                reward=step.reward or UNSET,
                reached_at=reached[n] if n < len(reached) else UNSET,
            )
            for n, step in enumerate(run.challenge.steps)
        ],
        state=progress.state(run, now),
        repeats=run.challenge.repeats,
        begins_at=run.begins_at,
        ends_at=None if run.ends_at == END else run.ends_at,
    )
