"""Validation of challenges, and examples of a document that show one."""

from typing import Any

import pytest

from engage.domain.challenges.definition import Challenge
from engage.domain.challenges.validation import challenge_problems, has_amounts
from engage.domain.document import decoding
from engage.domain.feature.section import Context
from tests.domain.challenges.challenges import TAPS, challenge

CONTEXT = Context(None, {"rewards": ["coupon_5"]})


@pytest.mark.parametrize(
    ("changes", "path", "mistake"),
    [
        (
            {"goal": {"kind": "count", "activity": "fuel_tab"}},
            "goal.activity",
            '"fuel_tab" (did you mean fuel_tap?)',
        ),
        ({"goal": {"kind": "count", "activity": "challenge_step"}}, "goal.activity", "challenge_step"),
        (
            {"goal": {"kind": "distinct_products", "activity": "fuel_tap"}},
            "goal.activity",
            "expected one of order, review, share",
        ),
        ({"steps": [{"at": 3, "points": 1}, {"at": 3, "points": 1}]}, "steps[1].at", "more than 3"),
        ({"steps": [{"at": 3}]}, "steps[0]", "points or a reward"),
        ({"steps": [{"at": 3, "reward": "coupon_6"}]}, "steps[0].reward", "did you mean coupon_5?"),
        (
            {"goal": {"kind": "all_of", "goals": [{**TAPS, "of": 2}]}, "steps": [{"at": 2, "points": 1}]},
            "steps[0].at",
            "at most 1, the number of goals",
        ),
        ({"due": {"type": "after", "delay": "P400D"}}, "due.delay", "a duration from PT0S to P366D"),
        ({"from": "2026-11-20T00:00:00", "until": "2026-11-20T00:00:00"}, "until", "a time after from"),
    ],
)
def test_a_challenge_that_cannot_work_is_refused(changes: dict[str, Any], path: str, mistake: str) -> None:
    (problem,) = challenge_problems(challenge(**changes), "$", CONTEXT)
    assert problem.path == f"$.{path}"
    assert mistake in problem.mistake


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"goal": {"kind": "taps"}}, "goal.kind"),
        ({"goal": {"kind": "all_of", "goals": [TAPS]}}, "goal.goals[0].of"),
        ({"goal": {"kind": "all_of", "goals": []}}, "goal.goals"),
        ({"steps": []}, "steps"),
        ({"steps": [{"at": 0, "points": 1}]}, "steps[0].at"),
        ({"repeats": "yearly"}, "repeats"),
        ({"due": {"type": "on_delivery"}}, "due.type"),
    ],
)
def test_a_challenge_of_other_fields_is_refused(changes: dict[str, Any], path: str) -> None:
    document = {"id": "taps", "title": {"en": "Taps"}, "goal": TAPS, "steps": [{"at": 1, "points": 1}]}
    assert [problem.path for problem in decoding.mismatches(document | changes, Challenge)] == [path]


def test_a_sound_challenge_has_no_problems() -> None:
    goal = {"kind": "all_of", "goals": [{**TAPS, "of": 2}, {"kind": "spend_minor", "of": 100}]}
    steps = [{"at": 1, "points": 5}, {"at": 2, "reward": "coupon_5", "points": 1}]
    assert list(challenge_problems(challenge(goal=goal, steps=steps), "$", CONTEXT)) == []
    assert has_amounts(challenge(goal=goal, steps=steps))
    assert not has_amounts(challenge())
