"""Copies of campaigns: other ids, other days, and examples that still hold."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.campaigns.copying import copied
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.example_validation import example_problems
from engage.domain.document.errors import DocumentError
from engage.domain.playback import campaign_examples
from engage.programs import campaigns
from tests.domain.campaigns.campaigns import campaign
from tests.domain.campaigns.test_examples import BOOSTED, BOOSTS, EUROPE, OWN, RULES
from tests.domain.campaigns.test_presets import versions

PRESETS = [campaigns.read(name) for name in campaigns.names()]
WITH_PARTS = campaign(BOOSTS + RULES + BOOSTED + OWN.replace('"A member"', '"Another"'))


def failures(copy: Campaign) -> list[str]:
    programs = EUROPE if copy.program == "eu-mi-points" else versions(copy)
    problems = [str(problem) for problem in example_problems(copy, programs)]
    return problems or [str(failure) for failure in campaign_examples.check(copy, programs)]


@given(preset=st.sampled_from(PRESETS), days=st.integers(0, 2_000))
def test_the_examples_of_a_preset_hold_on_other_days(preset: Campaign, days: int) -> None:
    copy = copied(preset, "another-time", preset.from_ + timedelta(days=days))
    assert copy.until - copy.from_ == preset.until - preset.from_
    assert failures(copy) == []


def test_a_copy_has_rules_and_definitions_of_its_own() -> None:
    copy = copied(WITH_PARTS, "Next-week")
    assert (copy.id, copy.from_, copy.until) == ("Next-week", WITH_PARTS.from_, WITH_PARTS.until)
    assert [rule.id for rule in copy.rules] == ["visit_stand_next_week"]
    assert [quiz.id for quiz in copy.quizzes] == ["Next-week"]
    assert failures(copy) == []
    earns = [credit for example in copy.examples for step in example.steps for credit in step.earns or ()]
    keys = [credit.source_key for credit in earns if credit.source_key is not None]
    assert keys == [
        "registration",
        "registration+Next-week",
        "order:o:purchase+Next-week",
        "visit_stand_next_week:2022-09-21:1",
    ]
    again = copied(copy, "week-after", copy.from_ + timedelta(days=7))
    assert failures(again) == []


def test_what_boosts_a_campaigns_own_rule_boosts_that_of_the_copy() -> None:
    text = RULES + '[[boosts]]\nid = "more"\nrules = ["visit_stand", "fuel"]\nadd = 1\n'
    (boost,) = copied(campaign(text), "copy").boosts
    assert boost.rules == ["visit_stand_copy", "fuel"]


def test_several_definitions_are_numbered_and_names_stay_within_their_length() -> None:
    text = RULES + RULES[RULES.index("[[quizzes]]") :].replace('id = "week"', 'id = "second"')
    copy = copied(campaign(text), "a" * 48)
    assert [quiz.id for quiz in copy.quizzes] == ["a" * 46 + "-1", "a" * 46 + "-2"]
    assert len(copy.rules[0].id) <= 48
    named = copied(campaign(text), "spring")
    assert [quiz.id for quiz in named.quizzes] == ["spring-1", "spring-2"]


def test_all_times_of_the_document_move() -> None:
    moved: dict[str, Any] = {"audience": {"joined_before": "2022-09-01T00:00:00"}}
    text = RULES.replace("[[quizzes]]", "[[quizzes]]\nuntil = 2022-09-24T12:00:00")
    copy = copied(campaign(text, **moved), "copy", datetime(2026, 3, 1))  # noqa: DTZ001
    shift = datetime(2026, 3, 1) - datetime(2022, 9, 21)  # noqa: DTZ001
    assert copy.until == datetime(2022, 9, 26) + shift  # noqa: DTZ001
    assert copy.audience.joined_before == datetime(2022, 9, 1) + shift  # noqa: DTZ001
    assert copy.quizzes[0].until == datetime(2022, 9, 24, 12) + shift  # noqa: DTZ001


def test_a_local_beginning_stays_local() -> None:
    with pytest.raises(DocumentError) as refused:
        copied(PRESETS[0], "copy", datetime.fromisoformat("2026-01-01T00:00:00Z"))
    assert [problem.path for problem in refused.value.problems] == ["from"]
