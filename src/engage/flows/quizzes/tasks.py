"""The tasks of quizzes: those that are open, and the attempts left."""

from collections.abc import Sequence
from typing import Any

from engage.domain.quizzes.attempts import attempts_left, window_of
from engage.domain.quizzes.definition import Quiz
from engage.domain.quizzes.kind import QUIZ
from engage.domain.refusals import Code, Refusal
from engage.domain.tasks import Task, refused
from engage.runtime.tasks import TaskContext, TaskSource

# The member's attempts at the quizzes `:task_quizzes`, by quiz and window.
_USED = """(
    SELECT json_agg(json_build_array(u.quiz_id, u.of_window, u.used)) FROM (
        SELECT quiz_id, of_window, count(*) AS used FROM quiz_attempts
        WHERE program_id = b.program_id AND member_id = b.member_id
          AND quiz_id = ANY(CAST(:task_quizzes AS text[]))
        GROUP BY quiz_id, of_window
    ) u
)"""


def _open(context: TaskContext) -> list[Quiz]:
    found = context.services.definitions.in_force(
        QUIZ, context.program.id, at=context.now, country=context.country
    )
    return [each.definition for each in found if each.definition.is_open(context.now, context.market.zone)]


def _tasks(context: TaskContext, value: Any) -> Sequence[Task]:
    used = {(quiz_id, window): count for quiz_id, window, count in value or []}
    return [_task(quiz, context, used) for quiz in _open(context)]


def _task(quiz: Quiz, context: TaskContext, used: dict[tuple[str, str], int]) -> Task:
    window = window_of(quiz, context.now, context.market.zone)
    left = attempts_left(quiz, used.get((quiz.id, window.label), 0))
    refusal = Refusal(Code.NO_ATTEMPTS_LEFT, resets_at=window.end)
    return Task(
        rule=QUIZ.rule_id(quiz.id),
        title=quiz.title,
        points=quiz.points_max,
        activity=QUIZ.name,
        state="open" if left else "done",
        remaining=left,
        resets_at=window.end,
        why_not=None if left else refused(refusal),
    )


def _parameters(context: TaskContext) -> dict[str, object]:
    quizzes = [quiz.id for quiz in _open(context)]
    return {"task_quizzes": quizzes} if quizzes else {}


TASKS = TaskSource(
    select=lambda context: _USED if _open(context) else "NULL", parameters=_parameters, view=_tasks
)
