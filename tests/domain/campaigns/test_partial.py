"""All mistakes of a document are shown at once, and none that there is not."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from engage import programs
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.partial import partial_campaign
from engage.domain.campaigns.surroundings import Surroundings
from engage.domain.campaigns.validation import problems
from engage.domain.document.compact import compact
from engage.domain.document.decoding import JSON, mismatches
from engage.programs import campaigns as presets

EARNED = [{"rule": "fuel", "points": 2}]

Path = tuple[str | int, ...]


def around(program: str) -> Surroundings:
    versions = [programs.read(name) for name in programs.names() if name.startswith(f"{program}/")]
    return Surroundings(programs=versions, campaigns=[], earlier={}, definitions={}, segments=["friends"])


def further(document: dict[str, Any]) -> dict[str, str]:
    """The mistakes that are shown beside the mismatches, by field."""
    partial = partial_campaign(document, notation=JSON)
    if partial is None:
        return {}
    found = problems(partial.campaign, around(partial.campaign.program))
    return {problem.path: problem.mistake for problem in partial.shown(found)}


def spring(**changes: object) -> dict[str, Any]:
    return {
        "id": "spring",
        "program": "eu-mi-points",
        "title": {"en": "Spring"},
        "from": "2024-03-08T00:00:00",
        "until": "2024-03-15T00:00:00",
    } | changes


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    """All places in a document, except those in its examples."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        if key != "examples":
            yield (*path, key)
            yield from paths(part, (*path, key))


def changed(document: dict[str, Any], path: Path, value: object) -> dict[str, Any]:
    copied = copy.deepcopy(document)
    part: Any = copied
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return copied


FOR_FRIENDS = spring(
    zone="Europe/Madrid",
    audience={"countries": ["ES"], "segments": ["friends"], "no_order_for": "P90D", "percent": 50},
    boosts=[{"id": "phones", "rules": ["purchase"], "multiply": 2, "channels": ["app"]}],
    holdout_percent=10,
    budget={"points": 1000, "points_per_member": 20, "count": 100, "per_device": 2},
)
RICH = spring(
    boosts=[
        {
            "id": "phones",
            "rules": ["purchase"],
            "multiply": 2,
            "products": ["phone"],
            "min_amount_minor": 100,
        },
        {"id": "visit", "rules": ["pages"], "add": 2, "hours": ["10:00", "14:00"]},
    ],
    rules=[
        {
            "id": "pages",
            "title": "Visit",
            "on": {"activity": "visit", "page": "spring"},
            "limit": {"type": "once"},
            "award": {"type": "fixed", "points": 7},
            "due": {"type": "after", "delay": "PT5M"},
        }
    ],
    challenges=[
        {
            "id": "fuel-up",
            "title": {"en": "Fuel up"},
            "goal": {"kind": "count", "activity": "fuel_tap"},
            "steps": [{"at": 3, "points": 6}],
        }
    ],
    leaderboards=[{"id": "best", "title": {"en": "Best"}, "score": "challenge:fuel-up"}],
    offers=[{"reward": "coupon_5", "points": 300, "stock": 10}],
    stacking={"group": "double", "max_multiplier": 3},
    examples=[
        {
            "title": "Visits",
            "country": "ES",
            "steps": [{"at": "2024-03-09T11:00:00", "do": {"activity": "fuel_tap"}, "earns": EARNED}],
        }
    ],
)
WRONG: list[object] = [[[]], {"no": 1}]
VALID = [FOR_FRIENDS, RICH, *(msgspec.to_builtins(compact(presets.read(name))) for name in presets.names())]


@pytest.mark.parametrize("document", VALID, ids=range(len(VALID)))
def test_a_field_that_does_not_match_is_the_only_mistake_of_a_document_without_others(
    document: dict[str, Any],
) -> None:
    assert problems(msgspec.convert(document, Campaign), around(document["program"])) == []
    tried = 0
    for path in paths(document):
        for wrong in WRONG:
            broken = changed(document, path, wrong)
            if mismatches(broken, Campaign, notation=JSON):
                assert further(broken) == {}, (path, wrong)
                tried += 1
    assert tried > 20


def test_mistakes_of_values_are_told_beside_those_of_types() -> None:
    document = spring(
        title={},
        until="2024-03-01T00:00:00",
        audience={"countries": ["XX"], "percent": 200},
        boosts=[{"id": "a", "rules": ["nothing"], "multiply": 0, "colour": "red"}],
        offers=[{"reward": "nothing", "points": 5}],
        budget={"points": "many"},
        unknown=1,
    )
    assert set(further(document)) == {
        "until",
        "audience.countries[0]",
        "boosts[0].rules[0]",
        "offers[0].reward",
    }


def test_the_times_of_a_document_need_not_match() -> None:
    document = spring(offers=[{"reward": "nothing", "points": 5}])
    del document["until"]
    assert set(further(document)) == {"offers[0].reward"}
    assert set(further(document | {"from": 1})) == {"offers[0].reward"}


def test_without_its_program_nothing_else_is_told() -> None:
    offers = [{"reward": "nothing", "points": 5}]
    assert further(spring(program=1, offers=offers)) == {}
    assert partial_campaign([], notation=JSON) is None
