"""The tasks of challenges: those that are running, and the steps ahead."""

from collections.abc import Sequence
from typing import Any

from engage.domain.challenges.courses import Course, Run
from engage.domain.challenges.interest import joined
from engage.domain.challenges.kind import CHALLENGE
from engage.domain.challenges.progress import Progress, RunKey, progress_of_runs
from engage.domain.definitions.definition import END
from engage.domain.tasks import Obstacle, Task, prevented
from engage.flows.challenges.courses import courses_of
from engage.flows.challenges.member_progress import OTHER_ZONES
from engage.runtime.tasks import TaskContext, TaskSource
from engage.store.challenges.facts import facts_in, facts_parameters, facts_sql

_FACTS = facts_sql("b")


def _running(context: TaskContext) -> list[tuple[Course, Run]]:
    zone = context.market.zone
    known = courses_of(context.services, context.program.id, context.country)
    courses = known.offered(context.member, zone, context.campaign_ids)
    found = [(course, course.runs_at(context.now, zone)) for course in courses]
    return [(course, max(runs, key=lambda run: run.begins_at)) for course, runs in found if runs]


def _parameters(context: TaskContext) -> dict[str, object]:
    running = _running(context)
    if not running:
        return {}
    since = min(run.begins_at for _, run in running) - OTHER_ZONES
    return facts_parameters(since, joined(course.interest for course, _ in running))


def _tasks(context: TaskContext, value: Any) -> Sequence[Task]:
    running, facts = _running(context), facts_in(value)
    progress: dict[RunKey, tuple[Run, Progress]] = {}
    for begins_at in {run.begins_at for _, run in running}:
        # What came before a run is not folded: of a daily challenge, one day counts.
        courses = [course for course, run in running if run.begins_at == begins_at]
        later = [fact for fact in facts if fact.at >= begins_at - OTHER_ZONES]
        progress |= progress_of_runs(courses, later)
    nothing = Progress(0, (), ())
    return [
        _task(context, course, run, progress.get((run.id, run.label), (run, nothing))[1])
        for course, run in running
    ]


def _task(context: TaskContext, course: Course, run: Run, progress: Progress) -> Task:
    """`points` are those of the steps ahead, or of all where none is."""
    steps = run.challenge.steps
    ahead = steps[len(progress.reached) :]
    comes_again = run.ends_at != END and course.runs_at(run.ends_at, context.market.zone)
    return Task(
        rule=CHALLENGE.rule_id(run.id),
        title=course.newest.title,
        points=sum(step.points or 0 for step in ahead or steps) or None,
        activity=CHALLENGE.name,
        state="open" if ahead else "done",
        remaining=len(ahead),
        resets_at=run.ends_at if comes_again else None,
        why_not=None if ahead else prevented(Obstacle.ALL_STEPS_REACHED),
    )


TASKS = TaskSource(
    select=lambda context: _FACTS if _running(context) else "NULL", parameters=_parameters, view=_tasks
)
