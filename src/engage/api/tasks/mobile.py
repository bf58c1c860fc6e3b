"""Tasks: all that the member can earn now."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, get
from msgspec import Meta, Struct

from engage.api.http.answers import Answer
from engage.api.http.callers import member_of, members_only
from engage.api.http.etags import tagged_answer
from engage.api.http.operation import MEMBER, contract
from engage.api.http.problems import language_of
from engage.domain.earning.definition import Rule
from engage.domain.tasks import Task, TaskState, WhyNot
from engage.flows.reads.tasks import MemberTasks, read_tasks
from engage.messages.program_rules import award_term, limit_term
from engage.messages.tasks import task_title, why_not_text
from engage.runtime.tasks import TaskContext


class WhyNotView(Struct, frozen=True):
    """`code` is stable; it is that of the refusal that the activity would get, where there is one."""

    code: str
    text: str


class TaskView(Struct, frozen=True, kw_only=True):
    """Something to earn. `rule` is that of its credits, and `campaign` the one that brings it for a while.
    `points` are the most that doing it once can earn: all steps of a challenge that are ahead, the best prize
    of a game, that of a draw. They are null where they depend on something: `award` says how. `kind` is that
    of a share, `page` that of a visit. `limits` say how often. `award` and `limits` are those of an earning
    rule, and empty for others.

    `remaining` is null where no number limits it, `resets_at` where nothing changes by itself.
    """

    rule: str
    campaign: str | None
    title: str
    points: int | None
    activity: Annotated[str, Meta(description="What to do. New ones can be added.")]
    kind: str | None
    page: str | None
    award: str | None
    limits: list[str]
    state: TaskState
    remaining: int | None
    resets_at: datetime | None
    why_not: WhyNotView | None


class TaskList(Struct, frozen=True):
    """All tasks: those of earning rules in the order of the program, those of campaigns after them, and those
    of definitions by kind. `next_cursor` is always null.
    """

    items: list[TaskView]
    next_cursor: None = None


class TaskController(Controller):
    path = "/v1/tasks"
    tags = ("Activities",)
    security = (MEMBER,)

    @get(
        operation_id="listTasks",
        summary="List what can be earned now",
        response_description="The tasks of the member.",
        opt=contract(etag=True),
    )
    async def tasks(self, request: Request[Any, Any, Any]) -> Answer[TaskList]:
        """All that the member can earn now, with what is left of it, and why not what they cannot.

        Titles, sentences and local times are in the language of `Accept-Language`. Send the ETag in
        `If-None-Match`: the answer is 304 while nothing has changed.
        """
        api, member = await member_of(request.scope)
        with members_only():
            found = await read_tasks(api.services, member.program_id, member.member_id)
        language = language_of(request.scope)
        headers = [(b"content-language", language.encode()), (b"vary", b"accept-language")]
        return tagged_answer(request.scope, TaskList(_views(found, language)), headers=headers)


def _views(found: MemberTasks, language: str) -> list[TaskView]:
    context = found.context
    if context is None:
        return []
    rules = context.terms.rules.by_id
    titles = {rule.id: rule.title_in(language) for rule in rules.values()}
    return [_view(task, rules.get(task.rule), context, language, titles) for task in found.tasks]


def _view(
    task: Task, rule: Rule | None, context: TaskContext, language: str, titles: dict[str, str]
) -> TaskView:
    zone, currency = context.market.zone, context.market.currency
    limits = [] if rule is None else [rule.limit, *rule.also]
    return TaskView(
        rule=task.rule,
        campaign=context.terms.campaigns.get(task.rule),
        title=task_title(task, language),
        points=task.points,
        activity=task.activity,
        kind=None if rule is None else rule.on.kind,
        page=None if rule is None else rule.on.page,
        award=None if rule is None else award_term(rule.award, rule.unit, language, currency).text,
        limits=[limit_term(limit, language, titles).text for limit in limits],
        state=task.state,
        remaining=task.remaining,
        resets_at=task.resets_at,
        why_not=None if task.why_not is None else _why_not(task.why_not, language, zone),
    )


def _why_not(why_not: WhyNot, language: str, zone: str) -> WhyNotView:
    return WhyNotView(why_not.code, why_not_text(why_not, language, zone))
