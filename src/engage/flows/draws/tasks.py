"""The tasks of draws: those that are open, entered or not."""

from collections.abc import Sequence
from typing import Any

from engage.domain.draws.definition import Draw
from engage.domain.draws.kind import DRAW
from engage.domain.refusals import Code, Refusal
from engage.domain.tasks import Task, refused
from engage.runtime.tasks import TaskContext, TaskSource

# The member's numbers in the draws `:task_draws`.
_NUMBERS = """(
    SELECT json_agg(json_build_array(e.draw_id, e.number)) FROM draw_entries e
    WHERE e.program_id = b.program_id AND e.member_id = b.member_id
      AND e.draw_id = ANY(CAST(:task_draws AS text[]))
)"""


def _open(context: TaskContext) -> list[Draw]:
    zones = sorted({market.zone for market in context.program.countries.values()})
    found = context.services.definitions.in_force(
        DRAW, context.program.id, at=context.now, country=context.country
    )
    return [
        draw
        for draw in (each.definition for each in found)
        if draw.opened_at(context.market.zone) <= context.now < draw.closed_at(zones)
    ]


def _tasks(context: TaskContext, value: Any) -> Sequence[Task]:
    numbers = dict(value or [])
    return [_task(draw, numbers.get(draw.id)) for draw in _open(context)]


def _task(draw: Draw, number: int | None) -> Task:
    """`points` are those of a winner."""
    return Task(
        rule=DRAW.rule_id(draw.id),
        title=draw.title,
        points=draw.points,
        activity=DRAW.name,
        state="open" if number is None else "done",
        remaining=1 if number is None else 0,
        why_not=None if number is None else refused(Refusal(Code.ALREADY_ENTERED, number=number)),
    )


def _parameters(context: TaskContext) -> dict[str, object]:
    draws = [draw.id for draw in _open(context)]
    return {"task_draws": draws} if draws else {}


TASKS = TaskSource(
    select=lambda context: _NUMBERS if _open(context) else "NULL", parameters=_parameters, view=_tasks
)
