"""Validation of quizzes: every question can be answered, and every number can be reached."""

from collections.abc import Iterator
from datetime import timedelta

from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem, duplicate_names, duplicates, nearest, shown
from engage.domain.earning.due import LONGEST_DELAY, After
from engage.domain.feature.section import Context
from engage.domain.quizzes.definition import Question, Quiz

MOST_POINTS = 1_000_000  # For an attempt, as for a rule.
SHORTEST_LIMIT, LONGEST_LIMIT = timedelta(seconds=5), timedelta(days=1)


def quiz_problems(quiz: Quiz, path: str, context: Context) -> Iterator[Problem]:
    """Validate a quiz at a path."""
    yield from quiz.schedule_problems(path)
    yield from duration_problems(f"{path}.time_limit", quiz.time_limit, SHORTEST_LIMIT, LONGEST_LIMIT)
    if isinstance(quiz.due, After):
        yield from duration_problems(f"{path}.due.delay", quiz.due.delay, timedelta(), LONGEST_DELAY)
    if quiz.draw is not None and quiz.draw > len(quiz.questions):
        yield Problem(f"{path}.draw", f"at most the {len(quiz.questions)} questions", str(quiz.draw))
    elif quiz.pass_mark is not None and quiz.pass_mark > quiz.asked:
        yield Problem(f"{path}.pass_mark", f"at most the {quiz.asked} questions", str(quiz.pass_mark))
    if quiz.points_max > MOST_POINTS:
        found = f"{quiz.points_max} for a full score"
        yield Problem(f"{path}.points_per_right", f"at most {MOST_POINTS} in all", found)
    yield from duplicate_names([question.id for question in quiz.questions], f"{path}.questions", "id")
    for n, question in enumerate(quiz.questions):
        yield from _question(question, f"{path}.questions[{n}]")


def _question(question: Question, path: str) -> Iterator[Problem]:
    ids = [option.id for option in question.options]
    yield from duplicate_names(ids, f"{path}.options", "id")
    yield from duplicates(question.right, f"{path}.right")
    for n, right in enumerate(question.right):
        if right not in ids:
            yield Problem(f"{path}.right[{n}]", "the id of an option", shown(right) + nearest(right, ids))
    if question.kind == "one" and len(question.right) != 1:
        yield Problem(f"{path}.right", "one option, as the kind is one", shown(question.right))
    if question.kind == "order" and len(question.right) != len(ids):
        yield Problem(f"{path}.right", "all options, in their order", shown(question.right))
