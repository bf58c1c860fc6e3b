"""A quiz that nobody can answer, or a number that nobody can reach, is found before it is in force."""

from typing import Any

import pytest

from engage.domain.definitions.kind import standalone_problems
from engage.domain.document import decoding
from engage.domain.feature.section import Context
from engage.domain.quizzes.definition import Quiz
from engage.domain.quizzes.kind import QUIZ
from tests.support.quizzes import QUESTIONS, question, quiz, quiz_document

CONTEXT = Context(None, {})


def problems(**changes: Any) -> list[str]:
    document = quiz_document(**changes)
    found = decoding.mismatches(document, Quiz)
    return [str(each) for each in found or standalone_problems(QUIZ, quiz(**changes), CONTEXT)]


def test_a_sound_quiz_has_no_problems() -> None:
    assert problems() == []
    assert problems(draw=3, pass_mark=3, due={"type": "next_day"}, until="2026-12-01T00:00:00") == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"questions": []}, "questions: expected a list of 1 to 500, got an empty list"),
        ({"draw": 4}, "draw: expected at most the 3 questions, got 4"),
        ({"draw": 2, "pass_mark": 3}, "pass_mark: expected at most the 2 questions, got 3"),
        ({"time_limit": "PT1S"}, 'time_limit: expected a duration from PT5S to P1D, got "PT1S"'),
        (
            {"attempts": {"count": 0, "window": "day"}},
            "attempts.count: expected a whole number from 1 to 1000, got 0",
        ),
        (
            {"attempts": {"count": 1, "window": "year"}},
            'attempts.window: expected one of day, ever, month, week, got "year"',
        ),
        ({"points_per_right": 0}, "points_per_right: expected a whole number from 1 to 100000, got 0"),
        (
            {"questions": [question(f"q{n}", "one", ["a"]) for n in range(11)], "points_per_right": 100_000},
            "points_per_right: expected at most 1000000 in all, got 1100004 for a full score",
        ),
        (
            {"from": "2026-11-02T00:00:00Z", "until": "2026-11-01T00:00:00Z"},
            "until: expected a time after from (2026-11-02T00:00:00+00:00), got 2026-11-01T00:00:00+00:00",
        ),
        ({"due": {"type": "after", "delay": "-PT5M"}}, "due.delay: expected a duration from PT0S to P366D"),
        ({"questions": [*QUESTIONS, QUESTIONS[0]]}, 'questions[3].id: expected a unique id, got "one"'),
        ({"questions": [question("q", "one", ["a", "b"])]}, "questions[0].right: expected one option"),
        ({"questions": [question("q", "one", ["x"])]}, "questions[0].right[0]: expected the id of an option"),
        ({"questions": [question("q", "several", [])]}, "questions[0].right: expected a list of 1 to 20"),
        ({"questions": [question("q", "several", ["a", "a"])]}, "questions[0].right[1]: expected no dup"),
        ({"questions": [question("q", "order", ["a", "b"])]}, "questions[0].right: expected all options"),
        ({"questions": [question("q", "one", ["a"], options="a")]}, "questions[0].options: expected a list"),
        ({"questions": [question("q", "one", ["a"], options="aab")]}, "questions[0].options[1].id: expected"),
        ({"due": {"type": "on_delivery"}}, "due.type: expected after or next_day"),
        ({"title": {}}, "title: expected a table of 1 to 20"),
    ],
)
def test_each_mistake_is_named(changes: dict[str, Any], problem: str) -> None:
    found = problems(**changes)
    assert len(found) == 1
    assert found[0].startswith(problem)
