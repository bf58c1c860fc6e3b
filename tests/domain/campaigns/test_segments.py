"""Computed segments: conditions in force at an instant, and members who meet them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.campaigns.audience import Facts
from engage.domain.campaigns.audience_validation import segment_problems
from engage.domain.campaigns.definition import Audience
from engage.domain.campaigns.segments import (
    SegmentConditions,
    SegmentDocument,
    SegmentIndex,
    computed_segments,
)
from engage.domain.program.parse import read
from engage.domain.program.program import Program
from tests.support import tiers

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPAIN, FRANCE = Audience(countries=["ES"]), Audience(countries=["FR"])
FACTS = Facts(program="p", member_id="m-1", country="ES", zone="Europe/Madrid", joined_at=NOON)

versions = st.lists(
    st.builds(
        SegmentConditions,
        segment_id=st.sampled_from(["a", "b"]),
        since=st.integers(0, 12).map(lambda hours: NOON + timedelta(hours=hours)),
        computed=st.sampled_from([None, SPAIN, FRANCE]),
    ),
    unique_by=lambda version: (version.segment_id, version.since),
)


@given(versions, st.integers(-1, 13))
def test_the_last_version_that_has_begun_is_in_force(found: list[SegmentConditions], hours: int) -> None:
    at = NOON + timedelta(hours=hours)
    expected = {}
    for version in sorted(found, key=lambda version: version.since):
        if version.since <= at:
            expected[version.segment_id] = version.computed
    index = SegmentIndex(found)
    assert index.conditions(["a", "b", "c"], at) == {
        id_: computed for id_, computed in expected.items() if computed is not None
    }


@pytest.mark.parametrize(
    ("conditions", "facts", "is_in"),
    [
        ({"countries": ["ES", "FR"]}, {}, True),
        ({"countries": ["FR"]}, {}, False),
        ({"tiers": ["gold", "silver"]}, {"levels": frozenset({"silver"})}, True),
        ({"tiers": ["gold"]}, {}, False),
        ({"joined_before": "2026-11-21T13:00:01"}, {}, True),
        ({"joined_before": "2026-11-21T13:00:00"}, {}, False),
        ({"joined_after": "2026-11-21T12:00:00Z"}, {}, True),
        ({"joined_after": "2026-11-21T12:00:01Z"}, {}, False),
        ({"first_order": True}, {}, True),
        ({"first_order": True}, {"last_order_at": NOON}, False),
        ({"no_order_for": "P1D"}, {"last_order_at": NOON}, True),
        ({"no_order_for": "P1D"}, {"last_order_at": NOON + timedelta(seconds=1)}, False),
        ({"countries": ["ES"], "first_order": True}, {"last_order_at": NOON}, False),
    ],
)
def test_who_meets_all_conditions_is_in_the_segment(
    conditions: dict[str, Any], facts: dict[str, Any], is_in: bool
) -> None:
    audience = msgspec.convert(conditions, Audience)
    at = NOON + timedelta(days=1)
    found = computed_segments({"s": audience}, msgspec.structs.replace(FACTS, **facts), at)
    assert found == ({"s"} if is_in else frozenset())


def test_each_segment_has_a_share_of_its_own() -> None:
    halves = {"a": Audience(percent=50), "b": Audience(percent=50)}
    members = [msgspec.structs.replace(FACTS, member_id=f"m-{n}") for n in range(4_000)]
    found = [computed_segments(halves, member, NOON) for member in members]
    assert found == [computed_segments(halves, member, NOON + timedelta(days=9)) for member in members]
    counts = {each: found.count(each) for each in set(found)}
    assert len(counts) == 4
    assert all(850 < count < 1_150 for count in counts.values())


def problems(computed: dict[str, Any] | None) -> list[str]:
    document = msgspec.convert({"computed": computed}, SegmentDocument)
    return [str(problem) for problem in segment_problems(document, programs())]


def programs() -> list[Program]:
    return [read(tiers.DOCUMENT, source="club.toml")]


@pytest.mark.parametrize(
    "computed",
    [
        None,
        {"countries": ["IN"]},
        {"tiers": ["gold", "fan"], "percent": 10},
        {"joined_after": "2025-01-01T00:00:00", "joined_before": "2026-01-01T00:00:00"},
        {"no_order_for": "P90D"},
        {"first_order": True},
    ],
)
def test_sound_conditions_have_no_problems(computed: dict[str, Any] | None) -> None:
    assert problems(computed) == []


@pytest.mark.parametrize(
    ("computed", "expected"),
    [
        ({}, ["computed: expected at least one condition, got none"]),
        (
            {"segments": ["a"]},
            ["computed.segments: expected no segments among the conditions of a segment, got some"],
        ),
        (
            {"countries": ["IN", "FR"]},
            ['computed.countries[1]: expected a country of the program: IN, got "FR"'],
        ),
        (
            {"countries": ["IN", "IN"]},
            ['computed.countries[1]: expected no duplicates, got "IN" again'],
        ),
        (
            {"tiers": ["golds"]},
            ['computed.tiers[0]: expected the id of a level, got "golds" (did you mean gold?)'],
        ),
        (
            {"joined_after": "2026-01-01T00:00:00", "joined_before": "2026-01-01T00:00:00"},
            [
                "computed.joined_before: expected a time after joined_after (2026-01-01T00:00:00), "
                "got 2026-01-01T00:00:00"
            ],
        ),
        (
            {"joined_before": "1926-01-01T00:00:00Z"},
            ["computed.joined_before: expected a year from 2000 to 2099, got 1926-01-01T00:00:00+00:00"],
        ),
        (
            {"no_order_for": "PT1M", "tiers": ["x"]},
            [
                'computed.tiers[0]: expected the id of a level, got "x"',
                'computed.no_order_for: expected a duration from P1D to P3660D, got "PT1M"',
            ],
        ),
    ],
)
def test_every_problem_of_conditions_is_found(computed: dict[str, Any], expected: list[str]) -> None:
    assert problems(computed) == expected
