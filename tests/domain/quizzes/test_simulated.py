"""Examples of a document play quizzes: attempts by window, the time limit, and one credit for an attempt."""

import pytest

from engage.domain.document.errors import DocumentError
from engage.domain.playback.examples import check
from engage.domain.program import parse
from tests.domain.broken_documents import SOUND
from tests.support.quizzes import quiz_document, quizzes_in_toml

HEAD, _, _ = SOUND.partition("[[examples]]")


def document(steps: str, **changes: object) -> str:
    quizzes = quizzes_in_toml(quiz_document(**changes))
    return f'{quizzes}{HEAD}\n[[examples]]\ntitle = "Quiz"\ncountry = "ES"\n{steps}'


def step(at: str, do: str, expects: str) -> str:
    return f'\n[[examples.steps]]\nat = {at}\ndo = {{ activity = "{do} }}\n{expects}\n'


START = 'start_quiz", quiz_id = "spring"'
ANSWER = 'answer_quiz", quiz_id = "spring"'


def played(steps: list[str], **changes: object) -> list[str]:
    program = parse.parse(document("".join(steps), **changes), source="test")
    return [str(failure) for failure in check(program)]


def test_an_example_shows_attempts_grades_and_points() -> None:
    steps = [
        step("2026-02-01T10:00:00", START, "asks = { questions = 3, attempts_left = 1 }"),
        step("2026-02-01T10:01:00", START, "asks = { questions = 3, expires_at = 2026-02-01T10:02:00 }"),
        step(
            "2026-02-01T10:01:59",
            ANSWER,
            'earns = [{ rule = "quiz:spring", points = 10, source_key = "quiz:spring:2026-02-01:1",'
            " due_at = 2026-02-01T10:06:59 }]\ngrades = { correct = 3, total = 3 }",
        ),
        step("2026-02-01T10:02:00", ANSWER + ", right = 2", 'refused = "already_answered"'),
        step("2026-02-01T10:03:00", START, "asks = { questions = 3, attempts_left = 0 }"),
        step("2026-02-01T10:05:00", ANSWER, 'refused = "attempt_expired"'),
        step("2026-02-01T23:59:59", START, 'refused = "no_attempts_left"'),
        step("2026-02-02T00:00:00", START, "asks = { questions = 3, attempts_left = 1 }"),
        step(
            "2026-02-02T00:00:10",
            ANSWER + ", right = 0",
            "earns = []\ngrades = { correct = 0, total = 3 }\nbalance = { active = 10 }",
        ),
    ]
    assert played(steps) == []


def test_below_the_pass_mark_nothing_is_paid() -> None:
    steps = [
        step("2026-02-01T10:00:00", START, "asks = { questions = 2 }"),
        step(
            "2026-02-01T10:00:30",
            ANSWER + ", right = 1",
            "earns = []\ngrades = { correct = 1, total = 2, passed = false }",
        ),
    ]
    assert played(steps, draw=2, pass_mark=2, shuffle=True) == []


def test_a_quiz_is_open_from_its_beginning_until_its_end() -> None:
    times = {"from": "2026-02-01T10:00:00", "until": "2026-02-01T11:00:00"}
    steps = [
        step("2026-02-01T09:59:59", START, 'refused = "not_found"'),
        step("2026-02-01T09:59:59", ANSWER, 'refused = "not_found"'),
        step("2026-02-01T10:59:59", START, "asks = { questions = 3 }"),
        step("2026-02-01T11:00:01", START, "asks = { questions = 3, attempts_left = 1 }"),
        step("2026-02-01T11:00:02", ANSWER, "grades = { correct = 3, total = 3 }"),
        step("2026-02-01T11:00:03", START, 'refused = "not_found"'),
    ]
    assert played(steps, **times) == []


def test_a_wrong_expectation_is_shown_in_words() -> None:
    steps = [step("2026-02-01T10:00:00", START, "asks = { questions = 4, attempts_left = 1 }")]
    assert played(steps) == [
        'examples[0] "Quiz", step 1, 2026-02-01 10:00:00+01:00: expected 4 questions, 1 left, '
        "got 3 questions, 1 left"
    ]


def test_a_step_about_an_unknown_quiz_is_a_problem_of_the_document() -> None:
    steps = [step("2026-02-01T10:00:00", 'start_quiz", quiz_id = "sprong"', "asks = { questions = 3 }")]
    with pytest.raises(DocumentError) as found:
        played(steps)
    assert "examples[0].steps[0].do.quiz_id" in str(found.value)
    assert "did you mean spring?" in str(found.value)


def test_no_rule_has_an_id_that_begins_the_source_keys_of_quizzes() -> None:
    with pytest.raises(DocumentError) as found:
        parse.parse(SOUND.replace('"review"', '"quiz"', 1), source="test")
    assert "rules[3].id: expected another id" in str(found.value)
