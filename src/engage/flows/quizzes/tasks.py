"""The tasks of quizzes: those that are open, and the attempts left."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, convert

from engage.domain.keys import EVER, quiz_keys
from engage.domain.quizzes.attempts import attempts_left, window_of
from engage.domain.quizzes.definition import Quiz
from engage.domain.quizzes.kind import QUIZ
from engage.domain.refusals import Code, Refusal
from engage.domain.tasks import Task, refused
from engage.runtime.tasks import TaskContext, TaskSource

# The source keys of attempts that an earlier account of the person has used. Without an array of quizzes: the
# plan for any array looks so much worse than that for the given one that each call would be planned.
_EARLIER = """(
    SELECT json_agg(c.source_key) FROM credits c
    WHERE c.program_id = b.program_id AND c.member_id = b.member_id AND c.points = 0 AND c.reference IS NULL
      AND c.source_key >= 'quiz:' AND c.source_key < 'quiz;'
)"""


def _attempts(earlier: str) -> str:
    """The member's attempts at the quizzes `:task_quizzes`, by quiz and window, and the quizzes of open
    attempts, which can be answered after the quiz has closed, too.
    """
    return f"""json_build_array((
    SELECT json_agg(json_build_array(u.quiz_id, u.of_window, u.used)) FROM (
        SELECT quiz_id, of_window, count(*) AS used FROM quiz_attempts
        WHERE program_id = b.program_id AND member_id = b.member_id
          AND quiz_id = ANY(CAST(:task_quizzes AS text[]))
        GROUP BY quiz_id, of_window
    ) u
), {earlier}, (
    SELECT json_agg(json_build_array(a.quiz_id, a.version)) FROM quiz_attempts a
    WHERE a.program_id = b.program_id AND a.member_id = b.member_id AND a.answered_at IS NULL
      AND a.expires_at > :now
))"""  # noqa: S608  # The constants of this module.


def _select(context: TaskContext) -> str:
    if not _known(context):
        return "NULL"
    has_ever = any(quiz.attempts.window == "ever" for quiz in _open(context))
    return _attempts(_EARLIER if has_ever else "NULL")


class _Attempts(Struct, frozen=True, array_like=True):
    """The number of attempts by (quiz, window), the keys of those of an earlier account, and the (quiz,
    version) of each that is open.
    """

    used: list[tuple[str, str, int]] | None
    earlier: list[str] | None
    begun: list[tuple[str, str]] | None


def _known(context: TaskContext) -> dict[tuple[str, str], Quiz]:
    every = context.services.definitions.every(QUIZ, context.program.id)
    return {(each.id, each.version): each.definition for each in every}


def _open(context: TaskContext) -> list[Quiz]:
    found = context.services.definitions.in_force(
        QUIZ, context.program.id, at=context.now, country=context.country, campaigns=context.campaign_ids
    )
    return [each.definition for each in found if each.definition.is_open(context.now, context.market.zone)]


def _parameters(context: TaskContext) -> dict[str, object]:
    return {"task_quizzes": [quiz.id for quiz in _open(context)]} if _known(context) else {}


def _tasks(context: TaskContext, value: Any) -> Sequence[Task]:
    if value is None:
        return []
    attempts = convert(value, _Attempts)
    used = {(quiz_id, window): count for quiz_id, window, count in attempts.used or []}
    begun = Counter(quiz_id for quiz_id, _ in attempts.begun or [])
    tasks = {}
    for quiz in _open(context):
        window = window_of(quiz, context.now, context.market.zone)
        keys = quiz_keys(quiz.id, EVER)
        earlier = sum(key.startswith(keys) for key in attempts.earlier or ()) if window.end is None else 0
        left = attempts_left(quiz, used.get((quiz.id, window.label), 0) + earlier)
        refusal = Refusal(Code.NO_ATTEMPTS_LEFT, resets_at=window.end)
        remaining = left + begun[quiz.id]
        tasks[quiz.id] = Task(
            rule=QUIZ.rule_id(quiz.id),
            title=quiz.title,
            points=quiz.points_max,
            activity=QUIZ.name,
            state="open" if remaining else "done",
            remaining=remaining,
            resets_at=window.end,
            why_not=None if remaining else refused(refusal),
        )
    known = _known(context)
    for quiz_id, version in attempts.begun or []:
        quiz_begun = known.get((quiz_id, version))
        if quiz_id not in tasks and quiz_begun is not None:
            tasks[quiz_id] = Task(
                rule=QUIZ.rule_id(quiz_id),
                title=quiz_begun.title,
                points=quiz_begun.points_max,
                activity=QUIZ.name,
                remaining=begun[quiz_id],
            )
    return list(tasks.values())


TASKS = TaskSource(select=_select, parameters=_parameters, view=_tasks)
