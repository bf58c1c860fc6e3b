"""A run compares decisions before and after a rebuild, and not refusals that nothing was decided for."""

import pytest

from engage.torture.rebuilding import Answer, unequal

ANA, BEA = ("torture", "ana"), ("torture", "bea")
TAPPED = Answer(409, "already_tapped", "2026-11-18T22:00:00Z")
LATER = Answer(409, "already_tapped", "2026-11-19T22:00:00Z")
UNKNOWN = Answer(404)
AWAY = Answer(503, "unavailable")
FIRST = Answer(202)


def test_a_member_who_may_tap_at_the_same_time_as_before_is_decided_equally() -> None:
    assert unequal({ANA: TAPPED}, {ANA: TAPPED}) == []


@pytest.mark.parametrize("after", [LATER, UNKNOWN, AWAY, FIRST])
def test_another_answer_than_before_is_found(after: Answer) -> None:
    (broken,) = unequal({ANA: TAPPED, BEA: TAPPED}, {ANA: TAPPED, BEA: after})
    assert "bea" in broken.text


@pytest.mark.parametrize("refusal", [UNKNOWN, AWAY, FIRST])
def test_equal_answers_without_a_decision_prove_nothing(refusal: Answer) -> None:
    (broken,) = unequal({ANA: refusal, BEA: refusal}, {ANA: refusal, BEA: refusal})
    assert broken.text.startswith("none of 2 members got a decision")
    assert f"{refusal.status}" in broken.text


def test_members_without_a_decision_are_left_out_where_others_have_one() -> None:
    assert unequal({ANA: TAPPED, BEA: UNKNOWN}, {ANA: TAPPED, BEA: AWAY}) == []


def test_a_run_without_members_proves_nothing() -> None:
    assert len(unequal({}, {})) == 1
