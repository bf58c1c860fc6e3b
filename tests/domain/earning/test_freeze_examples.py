"""Examples of a document show how its streak forgives: publishing plays them."""

import pytest

from engage.domain.document.errors import DocumentError
from engage.domain.playback.examples import check
from engage.domain.program.parse import parse
from tests.support.streaks import FREEZES, document

EXAMPLE = """
[[examples]]
title = "A freeze covers one missed day, and the next one ends the run"
country = "ES"
[[examples.steps]]
at = 2026-03-01T08:00:00
do = { activity = "join" }
earns = [{ rule = "welcome", points = 100 }]
[[examples.steps]]
at = 2026-03-01T09:00:00
do = { activity = "fuel_tap" }
earns = [{ rule = "fuel", points = 2 }]
streak = { days = 1, freezes = 1, best = 1, lost = 0 }
[[examples.steps]]
at = 2026-03-01T10:00:00
do = { activity = "buy_freeze" }
balance = { active = 97 }
streak = { freezes = 2 }
[[examples.steps]]
at = 2026-03-01T11:00:00
do = { activity = "buy_freeze" }
refused = "freezes_full"
[[examples.steps]]
at = 2026-03-04T02:30:00
do = { activity = "fuel_tap" }
earns = [{ rule = "fuel", points = 2, source_key = "fuel:2026-03-03" }]
streak = { days = 2, freezes = 1 }
[[examples.steps]]
at = 2026-03-07T12:00:00
do = { activity = "wait" }
streak = { days = 0, freezes = 0, best = 2, lost = 2 }
"""
TERMS = f'freezes = {{ {FREEZES} }}, grace_until = "03:00"'


def test_examples_buy_freezes_and_expect_the_streak() -> None:
    assert check(parse(document(limit=TERMS) + EXAMPLE, source="test")) == []


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ("days = 2, freezes = 1 }", "days = 3, freezes = 1 }", "2 days in a row, 1 freezes"),
        ("lost = 2", "lost = 0", "0 days in a row, 0 freezes, 2 at best, 2 lost"),
        ('"freezes_full"', '"insufficient_points"', "refusal freezes_full"),
    ],
)
def test_a_wrong_expectation_of_a_streak_is_found(right: str, wrong: str, found: str) -> None:
    assert right in EXAMPLE
    program = parse(document(limit=TERMS) + EXAMPLE.replace(right, wrong), source="test")
    (difference,) = check(program)
    assert found in str(difference)


@pytest.mark.parametrize(
    ("limit", "problem"),
    [
        ("freezes = { start = 3, max = 2 }", "rules[1].limit.freezes.start: expected at most the max of 2"),
        ("freezes = { start = 0, max = 2 }", "rules[1].limit.freezes: expected a way to get one"),
        ("freezes = { start = 1, max = 200 }", "rules[1].limit.freezes.max"),
        ('grace_until = "12:00"', "rules[1].limit.grace_until: expected a local time before noon"),
        ('grace_until = "3:00"', "rules[1].limit.grace_until: expected a local time before noon"),
    ],
)
def test_terms_that_cannot_be_are_problems(limit: str, problem: str) -> None:
    with pytest.raises(DocumentError) as refused:
        parse(document(limit=limit), source="test")
    assert problem in str(refused.value)
