"""Every mistake of a campaign is named at its field, all of them at once."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from engage import programs
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.part_validation import taken_id_problems
from engage.domain.campaigns.surroundings import Surroundings
from engage.domain.campaigns.validation import problems
from engage.domain.program.program import Program
from engage.programs import campaigns as presets

EU: Sequence[Program] = [programs.read(f"eu-mi-points/{name}") for name in ("2020", "2022", "2025")]
IN: Sequence[Program] = [programs.read("in-mi-tokens/2017")]

VISIT = {
    "id": "spring_visit",
    "title": "A visit",
    "on": {"activity": "visit", "page": "spring"},
    "limit": {"type": "once"},
    "award": {"type": "fixed", "points": 5},
    "due": {"type": "after", "delay": "PT5M"},
}
QUIZ = {
    "id": "spring-quiz",
    "title": {"en": "Spring"},
    "attempts": {"count": 1, "window": "ever"},
    "time_limit": "PT2M",
    "points_per_right": 5,
    "questions": [
        {
            "id": "q1",
            "kind": "one",
            "text": {"en": "One?"},
            "options": [{"id": "a", "text": {"en": "A"}}, {"id": "b", "text": {"en": "B"}}],
            "right": ["a"],
        }
    ],
}
BOOST = {"id": "twice", "rules": ["review"], "multiply": 2}


def campaign(**changes: Any) -> Campaign:
    document = {
        "id": "spring",
        "program": "eu-mi-points",
        "title": {"en": "Spring"},
        "from": "2026-03-01T00:00:00",
        "until": "2026-03-10T00:00:00",
    }
    return msgspec.convert(document | changes, Campaign)


def around(**changes: Any) -> Surroundings:
    return Surroundings(**{"programs": EU, "segments": ["regulars"]} | changes)


def mistakes(document: Campaign, where: Surroundings | None = None) -> dict[str, str]:
    """The mistakes by their fields, those of one field after each other."""
    found: dict[str, str] = {}
    for problem in problems(document, where or around()):
        found[problem.path] = found.get(problem.path, "") + problem.mistake
    return found


def boost(**changes: Any) -> dict[str, Any]:
    return {"boosts": [BOOST | changes]}


def visit(**changes: Any) -> dict[str, Any]:
    return {"rules": [VISIT | changes]}


def test_a_campaign_needs_five_fields_only() -> None:
    assert mistakes(campaign()) == {}


def test_a_campaign_with_everything_is_valid() -> None:
    whole = campaign(
        zone="Europe/Madrid",
        audience={"countries": ["ES", "GB"], "segments": ["regulars"], "no_order_for": "P90D", "percent": 50},
        holdout_percent=10,
        boosts=[
            BOOST | {"weekdays": ["sat", "sun"], "hours": ["22:00", "02:00"]},
            {"id": "more", "rules": ["purchase"], "add": 5, "products": ["p"], "min_amount_minor": 5_000},
            {"id": "visits", "rules": ["spring_visit"], "multiply": 1.5},
        ],
        rules=[VISIT | {"award": {"type": "fixed", "points": 2}}],
        offers=[{"reward": "coupon_5", "percent": 20, "stock": 10}],
        stacking={"group": "double", "priority": 3, "exclusive": True, "max_multiplier": 3},
        budget={"points": 10_000, "points_per_member": 100, "count": 500, "per_device": 2, "alerts": [90]},
    )
    assert mistakes(whole) == {}


def test_definitions_are_for_any_audience_and_have_a_budget() -> None:
    asking = {"segments": ["regulars"], "no_order_for": "P90D", "countries": ["ES"], "percent": 50}
    assert mistakes(campaign(quizzes=[QUIZ], audience=asking, budget={"points": 10})) == {}


DRAW: dict[str, Any] = {
    "id": "raffle",
    "title": {"en": "Raffle"},
    "opens_at": "2026-03-01T00:00:00",
    "closes_at": "2026-03-10T00:00:00",
    "winners": 3,
    "points": 50,
}
WHEEL: dict[str, Any] = {
    "id": "wheel",
    "title": {"en": "Wheel"},
    "from": "2026-03-01T00:00:00",
    "until": "2026-03-10T00:00:00",
    "chances": {"count": 1, "window": "day"},
    "prizes": [{"id": "p", "title": {"en": "P"}, "odds": "1/2", "stock": 5, "points": 50}],
}


@pytest.mark.parametrize(
    ("budget", "paths"),
    [
        ({"points": 150, "count": 3, "points_per_member": 50}, set()),
        ({"points": 149}, {"draws[0].points"}),
        ({"points": 49}, {"draws[0].points", "games[0].prizes[0].points"}),
        ({"points_per_member": 49}, {"draws[0].points", "games[0].prizes[0].points"}),
        ({"count": 2}, {"draws[0].winners"}),
    ],
)
def test_a_prize_that_no_budget_could_pay_is_a_mistake(budget: dict[str, int], paths: set[str]) -> None:
    promising = campaign(draws=[DRAW], games=[WHEEL], budget=budget)
    assert mistakes(promising).keys() == paths


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"until": "2026-02-01T00:00:00"}, "until", "a time after from (2026-03-01T00:00:00), got 2026-02-01"),
    ({"until": "2026-03-01T00:00:00"}, "until", "a time after from"),
    ({"from": "2026-03-01T00:00:00Z", "until": "2026-03-01T00:30:00"}, "until", "a time after from"),
    ({"until": "2100-01-01T00:00:00"}, "until", "a year from 2000 to 2099"),
    ({"from": "1999-12-31T00:00:00"}, "from", "a year from 2000 to 2099"),
    ({"from": "2026-03-29T02:30:00", "until": "2026-04-01T00:00:00"}, "from", "which its clocks skip"),
    (
        {"until": "2026-03-29T01:30:00"},
        "until",
        "a local time of Europe/London, got",
    ),
    ({"from": "2015-01-01T00:00:00", "until": "2016-01-01T00:00:00"}, "until", "the program is in force"),
    ({"zone": "Europe/Madird"}, "zone", "(did you mean Europe/Madrid?)"),
    ({"audience": {"countries": ["PT"]}}, "audience.countries[0]", "one of DE, ES, FR, GB, IT, NL"),
    ({"audience": {"countries": ["UK"]}}, "audience.countries[0]", "(did you mean GB?)"),
    ({"audience": {"countries": ["ES", "ES"]}}, "audience.countries[1]", "no duplicates"),
    ({"audience": {"tiers": ["gold"]}}, "audience.tiers[0]", "the id of a level"),
    ({"audience": {"segments": ["regular"]}}, "audience.segments[0]", "(did you mean regulars?)"),
    ({"audience": {"no_order_for": "PT1H"}}, "audience.no_order_for", "from P1D to P3660D"),
    ({"audience": {"first_order": True, "no_order_for": "P9D"}}, "audience.no_order_for", "none beside"),
    (
        {"audience": {"joined_after": "2026-02-01T00:00:00", "joined_before": "2026-01-01T00:00:00"}},
        "audience.joined_before",
        "a time after joined_after",
    ),
    (boost(multiply=None), "boosts[0]", "either multiply or add, got neither"),
    (boost(add=5), "boosts[0]", "either multiply or add, got both"),
    (boost(rules=["reveiw"]), "boosts[0].rules[0]", "(did you mean review?)"),
    (boost(rules=["review", "review"]), "boosts[0].rules[1]", "no duplicates"),
    (boost(products=["p"]), "boosts[0].rules[0]", "a rule about orders: others have no products, got"),
    (boost(channels=["store"], min_amount_minor=1), "boosts[0].rules[0]", "no channels or min_amount_minor"),
    (boost(rules=["fuel"], multiply=1.05), "boosts[0].multiply", "a number that adds at least one point"),
    (boost(hours=["10:00", "10:00"]), "boosts[0].hours[1]", "another time than 10:00"),
    (boost(hours=["24:00", "10:00"]), "boosts[0].hours[0]", "a time before the end of the day"),
    (boost(weekdays=["mon", "mon"]), "boosts[0].weekdays[1]", "no duplicates"),
    ({"until": "2026-03-03T00:00:00"} | boost(weekdays=["fri"]), "boosts[0].weekdays", "sun or mon, got fri"),
    ({"boosts": [BOOST, BOOST | {"rules": ["fuel"]}]}, "boosts[1].id", "a unique id"),
    ({"boosts": [BOOST, BOOST | {"id": "again", "hours": ["10:00", "11:00"]}]}, "boosts[1]", "got twice"),
    (visit(id="review"), "rules[0].id", "which version 2025 has"),
    (visit(limit={"type": "first_orders", "count": 3}), "rules[0].limit.type", "ends with the campaign"),
    (visit(limit={"type": "daily_streak"}), "rules[0].limit.type", "a limit that ends with the campaign"),
    (visit(limit={"type": "same_as", "rule": "fule"}), "rules[0].limit.rule", "(did you mean fuel?)"),
    (visit(due={"type": "after", "delay": "P400D"}), "rules[0].due.delay", ""),
    ({"rules": [VISIT, VISIT | {"on": {"activity": "review"}}]}, "rules[1].id", "a unique id"),
    ({"quizzes": [QUIZ, QUIZ]}, "quizzes[1].id", "a unique id"),
    ({"quizzes": [QUIZ | {"draw": 5}]}, "quizzes[0].draw", "at most the 1 questions"),
    ({"quizzes": [QUIZ | {"program": "x"}]}, "quizzes[0].program", "eu-mi-points, or no program"),
    ({"offers": [{"reward": "coupon_6", "points": 5}]}, "offers[0].reward", "(did you mean coupon_5?)"),
    ({"offers": [{"reward": "coupon_5"}]}, "offers[0]", "either points or percent, got neither"),
    ({"offers": [{"reward": "coupon_5", "points": 1, "percent": 5}]}, "offers[0]", "got both"),
    ({"offers": [{"reward": "coupon_5", "points": 1}] * 2}, "offers[1].reward", "a unique reward"),
    ({"budget": {}}, "budget", "points, points_per_member, count or per_device, got no limit"),
    ({"budget": {"points": 5, "points_per_member": 6}}, "budget.points_per_member", "at most the 5 of"),
    ({"budget": {"count": 5, "per_device": 6}}, "budget.per_device", "at most the 5 of the whole campaign"),
    ({"budget": {"points": 5, "alerts": [50, 50]}}, "budget.alerts[1]", "no duplicates"),
    ({"budget": {"per_device": 6, "alerts": [70]}}, "budget.alerts", "of which they are percentages"),
    (
        {
            "examples": [
                {
                    "title": "One",
                    "country": "ES",
                    "steps": [
                        {
                            "at": "2026-03-02T10:00:00",
                            "do": {"activity": "review", "product_id": "p", "review_id": "r"},
                        }
                    ],
                }
            ]
        },
        "examples[0].steps[0]",
        "earns or refused",
    ),
]


@pytest.mark.parametrize(("changes", "path", "mistake"), MISTAKES, ids=[path for _, path, _ in MISTAKES])
def test_a_mistake_is_named_at_its_field_and_only_there(
    changes: dict[str, Any], path: str, mistake: str
) -> None:
    found = mistakes(campaign(**changes))
    assert list(found) == [path]
    assert mistake in found[path]


def test_all_mistakes_are_named_at_once() -> None:
    """Those of parts that do not depend on each other."""
    apart = [
        mistake for mistake in MISTAKES if len(mistake[0]) == 1 and not {"from", "until"} & mistake[0].keys()
    ]
    wrong = {next(iter(changes)): (changes, path) for changes, path, _ in apart}
    together: dict[str, Any] = {}
    for changes, _ in wrong.values():
        together |= changes
    found = mistakes(campaign(**together, until="2026-02-01T00:00:00"))
    expected = {path for _, path in wrong.values() if not path.startswith("examples")}
    assert found.keys() == expected | {"until"}
    assert len(expected) >= 7


def test_rules_and_levels_of_the_versions_in_force_count() -> None:
    """Great Britain alone has a rule about browsing, since June 2025."""
    browsing = boost(rules=["browse"])
    assert mistakes(campaign(**browsing)) == {}
    assert list(mistakes(campaign(**browsing, audience={"countries": ["ES"]}))) == ["boosts[0].rules[0]"]
    before = {"from": "2025-05-01T00:00:00", "until": "2025-06-01T00:00:00"}
    assert list(mistakes(campaign(**browsing, **before))) == ["boosts[0].rules[0]"]
    across = {"from": "2025-05-01T00:00:00", "until": "2025-06-18T00:00:00"}
    assert mistakes(campaign(**browsing, **across)) == {}


def test_levels_are_those_of_the_program() -> None:
    tokens = campaign(program="in-mi-tokens", audience={"tiers": ["glod", "silver"]})
    found = mistakes(tokens, around(programs=IN))
    assert list(found) == ["audience.tiers[0]"]
    assert "(did you mean gold?)" in found["audience.tiers[0]"]


def test_ids_that_others_have_are_taken() -> None:
    other = campaign(id="other", rules=[VISIT], quizzes=[QUIZ])
    mine = campaign(rules=[VISIT], quizzes=[QUIZ])
    found = mistakes(mine, around(campaigns=[other]))
    assert found == {
        "rules[0].id": 'expected an id of its own, got "spring_visit", which campaign other has',
        "quizzes[0].id": 'expected an id of its own, got "spring-quiz", which campaign other has',
    }
    added = mistakes(mine, around(definitions={"quizzes": ["spring-quiz"]}))
    assert added == {"quizzes[0].id": 'expected an id of its own, got "spring-quiz", which an operator has'}


def test_a_program_version_cannot_take_the_ids_of_a_campaign() -> None:
    other = campaign(id="other", rules=[VISIT])
    assert list(taken_id_problems(EU[-1], [other])) == []
    taken = replace(EU[-1], rules=[*EU[-1].rules, *other.rules])
    paths = [problem.path for problem in taken_id_problems(taken, [other])]
    assert paths == [f"rules[{len(EU[-1].rules)}].id"]


# Two names with the same CRC-32, which is what the gate knows a rule by.
COLLIDING = "plumless", "buckeroo"


def test_the_short_code_of_another_rule_is_taken() -> None:
    first, second = COLLIDING
    other = campaign(id="other", rules=[VISIT | {"id": first}])
    found = mistakes(campaign(**visit(id=second)), around(campaigns=[other]))
    assert list(found) == ["rules[0].id"]
    assert f'the short code of "{first}"' in found["rules[0].id"]


def test_a_rule_of_an_earlier_version_stays_what_it_was() -> None:
    approved = campaign(**visit())
    assert mistakes(campaign(**visit(title="Another title")), around(earlier={"1": approved})) == {}
    review = {"activity": "review"}
    found = mistakes(campaign(**visit(on=review)), around(earlier={"1": approved}))
    assert found["rules[0].on.activity"].startswith("expected visit as in version 1, or a new id")


def test_an_amount_needs_currencies_with_the_same_decimals() -> None:
    market = EU[1].countries["ES"]
    yen = replace(EU[1], countries={"ES": market, "JP": replace(market, currency="JPY", zone="Asia/Tokyo")})
    amount = boost(rules=["purchase"], min_amount_minor=100)
    found = mistakes(campaign(**amount), around(programs=[yen]))
    assert list(found) == ["boosts[0].min_amount_minor"]
    assert mistakes(campaign(**amount, audience={"countries": ["JP"]}), around(programs=[yen])) == {}


def test_without_known_segments_none_is_unknown() -> None:
    audience = {"audience": {"segments": ["anyone"]}}
    assert mistakes(campaign(**audience), around(segments=None)) == {}


@pytest.mark.parametrize("name", presets.names())
def test_the_preset_campaigns_are_valid(name: str) -> None:
    program_id = name.partition("/")[0]
    versions = [programs.read(each) for each in programs.names() if each.startswith(f"{program_id}/")]
    preset = presets.read(name)
    known = around(programs=versions, segments=preset.audience.segments or [])
    assert mistakes(preset, known) == {}


def test_a_budget_boosts_no_places_that_pass_from_one_order_to_another() -> None:
    changes = {"program": "in-mi-tokens"} | boost(rules=["first_orders"])
    where = around(programs=IN)
    assert mistakes(campaign(**changes), where) == {}
    found = mistakes(campaign(**changes, budget={"points": 100}), where)
    assert "first orders of a member, where there is a budget" in found["boosts[0].rules[0]"]
