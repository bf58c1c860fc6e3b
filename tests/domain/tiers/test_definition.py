"""Groups of levels in a document: what is wrong with them, and what their benefits come to."""

from typing import Any

import pytest

from engage.domain.document.errors import DocumentError
from engage.domain.program.parse import parse
from engage.domain.tiers.benefits import joined
from engage.domain.tiers.definition import Level
from tests.support.tiers import DOCUMENT


def problems_of(old: str, new: str) -> list[str]:
    assert old in DOCUMENT
    with pytest.raises(DocumentError) as failed:
        parse(DOCUMENT.replace(old, new, 1), source="test")
    return [problem.path for problem in failed.value.problems]


def test_the_document_of_the_tests_is_sound() -> None:
    program = parse(DOCUMENT, source="test")
    assert [group.multiplies for group in program.tier_groups] == [True, False]


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("from = 300_00", "from = 100_00", "tier_groups[0].levels[2].from"),
        ('id = "gold"', 'id = "silver"', "tier_groups[0].levels[2].id"),
        ('id = "fans"', 'id = "spend"', "tier_groups[1].id"),
        ("multiply = 1.5", "multiply = 0.5", "tier_groups[0].levels[1].benefits.multiply"),
        ("multiply = 1.5", "multiply = nan", "tier_groups[0].levels[1].benefits.multiply"),
        ("multiply = 1.5", "multiply = true", "tier_groups[0].levels[1].benefits.multiply"),
        ("multiply = 1.5", 'multiply = "2"', "tier_groups[0].levels[1].benefits.multiply"),
        (
            "express_delivery = true",
            "express_delivery = 1",
            "tier_groups[0].levels[1].benefits.express_delivery",
        ),
        ('early_access = "PT24H"', 'early_access = "soon"', "tier_groups[0].levels[2].benefits.early_access"),
        ('early_access = "PT24H"', "early_access = 24", "tier_groups[0].levels[2].benefits.early_access"),
        ('grace = "P30D"', 'grace = "P400D"', "tier_groups[0].grace"),
        ('metric = "status"', 'metric = "taps"', "tier_groups[1].metric"),
        ('window = "calendar_year"', 'window = "week"', "tier_groups[0].window"),
        ('lounge = "north"', "lounge = [1]", "tier_groups[1].levels[0].benefits.lounge"),
        ('unit = "status"', 'unit = "stars"', "rules[4].unit"),
    ],
)
def test_a_wrong_group_names_the_field(old: str, new: str, path: str) -> None:
    assert problems_of(old, new) == [path]


def level(**benefits: Any) -> Level:
    return Level(id="l", title={"en": "L"}, from_=1, benefits=benefits)


def test_benefits_of_several_levels_are_the_better_ones() -> None:
    both = joined(
        [
            level(multiply=1.5, express_delivery=False, early_access="PT24H", gifts=2, lounge="north"),
            level(multiply=1.2, express_delivery=True, early_access="P2D", gifts=1, lounge="south"),
        ]
    )
    assert both == {
        "multiply": 1.7,  # Each counts on the base.
        "express_delivery": True,
        "early_access": "P2D",
        "gifts": 2,
        "lounge": "north",
    }
    assert joined([]) == {}
