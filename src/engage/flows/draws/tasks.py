"""The tasks of draws: those that are open, entered or not."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from engage.domain.draws.definition import Draw
from engage.domain.draws.kind import DRAW
from engage.domain.refusals import Code, Refusal
from engage.domain.tasks import Task, refused
from engage.flows.draws.enter import MOST_ENTRIES
from engage.flows.draws.terms import OfferedDraw, draws_in
from engage.runtime.definition_cache import is_of_campaign
from engage.runtime.tasks import TaskContext, TaskSource

# Draws that somebody has entered: those `:task_draws`, which are open by their definitions, and all that are
# open as they began. With the member's numbers.
_BEGUN = """(
    SELECT json_agg(json_build_array(d.draw_id, d.version, d.state, d.closes_at, d.last_number, e.number))
    FROM draws d
    LEFT JOIN draw_entries e
        ON e.program_id = d.program_id AND e.draw_id = d.draw_id AND e.member_id = b.member_id
    WHERE d.program_id = b.program_id AND (d.state = 'open' OR d.draw_id = ANY(CAST(:task_draws AS text[])))
)"""


class _Begun(Struct, frozen=True, array_like=True):
    """A draw as its first entry has fixed it. `number` is the member's."""

    draw_id: str
    version: str
    state: str
    closes_at: datetime
    last_number: int
    number: int | None


def _offered(context: TaskContext) -> dict[str, OfferedDraw]:
    found = draws_in(
        context.services,
        context.program,
        context.market,
        context.country,
        context.campaign_ids,
        at=context.now,
    )
    return {offered.draw.id: offered for offered in found}


def _has_draws(context: TaskContext) -> bool:
    return bool(context.services.definitions.every(DRAW, context.program.id))


def _tasks(context: TaskContext, value: Any) -> Sequence[Task]:
    begun = {each.draw_id: each for each in msgspec.convert(value or [], list[_Begun])}
    offered = _offered(context)
    versions = {
        (each.id, each.version): each.definition
        for each in context.services.definitions.every(DRAW, context.program.id)
    }
    tasks = []
    for draw_id in dict.fromkeys([*offered, *sorted(begun)]):
        draw = _open_draw(offered.get(draw_id), begun.get(draw_id), versions, context.now)
        if draw is not None:
            tasks.append(_task(draw, begun.get(draw_id)))
    return tasks


def _open_draw(
    offered: OfferedDraw | None,
    begun: _Begun | None,
    versions: Mapping[tuple[str, str], Draw],
    now: datetime,
) -> Draw | None:
    """The draw as an entry finds it; None where it is not open for the member."""
    if offered is not None and now < offered.opens_at:
        return None
    if offered is None and begun is not None and is_of_campaign(begun.version):
        return None
    if begun is None:
        return offered.draw if offered is not None and now < offered.closes_at else None
    if begun.state != "open" or now >= begun.closes_at:
        return None
    # Another process may have begun it under a version that this one does not know yet.
    in_force = None if offered is None else offered.draw
    return versions.get((begun.draw_id, begun.version), in_force)


def _task(draw: Draw, begun: _Begun | None) -> Task:
    """`points` are those of a winner."""
    task = Task(
        rule=DRAW.rule_id(draw.id), title=draw.title, points=draw.points, activity=DRAW.name, remaining=1
    )
    if begun is not None and begun.number is not None:
        why_not = refused(Refusal(Code.ALREADY_ENTERED, number=begun.number))
        return msgspec.structs.replace(task, state="done", remaining=0, why_not=why_not)
    if begun is not None and begun.last_number >= MOST_ENTRIES:
        why_not = refused(Refusal(Code.DRAW_FULL, limit=MOST_ENTRIES))
        return msgspec.structs.replace(task, state="blocked", remaining=0, why_not=why_not)
    return task


def _parameters(context: TaskContext) -> dict[str, object]:
    if not _has_draws(context):
        return {}
    offered = _offered(context).values()
    return {"task_draws": [each.draw.id for each in offered if each.opens_at <= context.now < each.closes_at]}


TASKS = TaskSource(
    select=lambda context: _BEGUN if _has_draws(context) else "NULL", parameters=_parameters, view=_tasks
)
