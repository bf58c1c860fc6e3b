"""The presets, and their examples, which notice a change of any number in the rules."""

import tomllib
from datetime import UTC, date, datetime, timedelta

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engage import programs
from engage.domain.activity import Review
from engage.domain.playback import examples
from engage.domain.program import sections
from engage.domain.program.parse import parse, schema
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from tests.domain.mutations import changes, velocity_changes
from tests.domain.strategies import PRESETS, V2020, V2022, V2025

DEMO = parse(programs.text(programs.DEMO_STORE), source=programs.DEMO_STORE)
NOON_IN_MARCH = datetime(2026, 3, 2, 12, tzinfo=UTC)


def _title(program: Program) -> str:
    return f"{program.id} {program.version}"


@pytest.mark.parametrize("program", PRESETS, ids=_title)
def test_a_preset_does_what_its_examples_say(program: Program) -> None:
    assert [str(failure) for failure in examples.check(program)] == []


def test_presets_are_found_by_version_and_by_program() -> None:
    assert programs.names() == [
        "bf-mi-points/2024",
        "by-mi-bonus/2024",
        "eu-mi-points/2020",
        "eu-mi-points/2022",
        "eu-mi-points/2025",
        "hu-mi-points/2024",
        "in-mi-tokens/2017",
    ]
    assert programs.preset("eu-mi-points") == programs.preset("eu-mi-points/2025")
    parsed = [parse(text, source=name) for name, text in programs.presets().items()]
    by_age = sorted(parsed, key=lambda program: (program.id, program.in_force_from))
    assert [f"{program.id}/{program.version}" for program in by_age] == list(programs.presets())
    for unknown in ("eu-mi-points/2021", "eu", "../programs", ""):
        with pytest.raises(programs.UnknownPreset):
            programs.preset(unknown)


def test_the_programs_have_the_dates_countries_and_eligibility_of_their_sources() -> None:
    """Examples do not cover every cell of the sources' table."""
    europe = {
        "ES": ("Europe/Madrid", "EUR"),
        "FR": ("Europe/Paris", "EUR"),
        "IT": ("Europe/Rome", "EUR"),
        "NL": ("Europe/Amsterdam", "EUR"),
        "DE": ("Europe/Berlin", "EUR"),
        "GB": ("Europe/London", "GBP"),
    }
    in_2020 = {country: europe[country] for country in ("ES", "FR", "IT", "GB")}
    expected = {
        "bf-mi-points 2024": (date(2024, 1, 1), {"BF": ("Africa/Ouagadougou", "XOF")}),
        "by-mi-bonus 2024": (date(2024, 1, 1), {"BY": ("Europe/Minsk", "BYN")}),
        "eu-mi-points 2020": (date(2020, 5, 4), in_2020),
        "eu-mi-points 2022": (date(2022, 9, 1), europe),
        "eu-mi-points 2025": (date(2025, 6, 17), {"GB": europe["GB"]}),
        "hu-mi-points 2024": (date(2024, 1, 1), {"HU": ("Europe/Budapest", "HUF")}),
        "in-mi-tokens 2017": (date(2017, 6, 15), {"IN": ("Asia/Kolkata", "INR")}),
    }
    found = {
        _title(program): (
            program.in_force_from,
            {country: (market.zone, market.currency) for country, market in program.countries.items()},
        )
        for program in PRESETS
    }
    assert found == expected
    assert all(program.eligibility.one_account_a_person for program in PRESETS)
    assert [program.id for program in PRESETS if program.cards.phone_is_card] == ["by-mi-bonus"]
    assert [program.promise for program in (V2020, V2022)] == [timedelta(days=16), None]


def test_a_hundred_points_are_a_euro_and_withdrawals_are_announced_with_limits() -> None:
    for program in (V2020, V2022, V2025):
        assert program.worth is not None
        assert program.worth.points == program.worth.minor
        assert all(reward.points == getattr(reward, "value_minor", None) for reward in program.rewards)
    withdrawal = programs.preset("bf-mi-points").withdrawal
    assert withdrawal is not None
    assert not withdrawal.open
    assert withdrawal.min_points == 50
    assert [p.id for p in PRESETS if p.withdrawal] == ["bf-mi-points"]
    assert [_title(p) for p in PRESETS if p.checkout is None] == ["eu-mi-points 2022", "in-mi-tokens 2017"]


CHANGES = [
    pytest.param(changed, id=f"{_title(program)} {what}")
    for program in PRESETS
    for what, changed in changes(program)
]


@pytest.mark.parametrize("changed", CHANGES)
def test_the_examples_notice_every_mutation(changed: Program) -> None:
    assert examples.check(changed)


def test_the_demo_store_says_when_points_are_held_and_notices_every_mutation_of_that() -> None:
    assert [str(failure) for failure in examples.check(DEMO)] == []
    assert [change for change, changed in velocity_changes(DEMO) if not examples.check(changed)] == []


@pytest.mark.parametrize("program", [V2020, V2022, V2025, DEMO], ids=_title)
def test_reviews_have_a_limit_whatever_products_they_are_about(program: Program) -> None:
    (rule,) = [each for each in program.rules if each.on.activity == "review"]
    assert rule.also
    for limit in rule.also:
        wanted = {"day": [0] * (limit.count + 1), "month": [*range(limit.count), 0]}[limit.window]
        member = sections.simulate(replace(program, challenges=[]), next(iter(program.countries)))
        reviews = [(Review(product_id=f"p-{n}", review_id=f"r-{n}"), day) for n, day in enumerate(wanted)]
        *paid, (beyond, _) = reviews
        for review, day in paid:
            assert member.record(review, NOON_IN_MARCH + timedelta(days=day))
        with pytest.raises(Refusal) as refused:
            member.record(beyond, NOON_IN_MARCH)
        assert (refused.value.code, refused.value.facts["window"]) == (Code.LIMIT_REACHED, limit.window)


@pytest.mark.parametrize("program", PRESETS, ids=_title)
def test_the_examples_notice_a_missing_rule_and_a_moved_midnight(program: Program) -> None:
    for rule in program.rules:
        if rule.id == "fuel":  # Its bonus would be lost with it.
            continue
        assert examples.check(replace(program, rules=[r for r in program.rules if r.id != rule.id]))
    for country, market in program.countries.items():
        elsewhere = program.countries | {country: replace(market, zone="Atlantic/Azores")}
        assert examples.check(replace(program, countries=elsewhere))


VALIDATOR = jsonschema_rs.Draft7Validator(schema())


def test_the_schema_is_valid_json_schema() -> None:
    document = schema()
    assert document["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert document["title"] == "engage program document"
    assert jsonschema_rs.meta.is_valid(document)
    assert "$defs" not in msgspec.json.encode(document).decode()


@pytest.mark.parametrize("name", programs.names())
def test_presets_match_the_schema(name: str) -> None:
    # Editors see dates and times of TOML as text.
    table = msgspec.to_builtins(tomllib.loads(programs.text(name)))
    assert [error.message for error in VALIDATOR.iter_errors(table)] == []


@given(st.sampled_from(PRESETS), st.data())
def test_the_schema_refuses_misspelt_fields(program: Program, drawn: st.DataObject) -> None:
    table = msgspec.to_builtins(tomllib.loads(programs.text(f"{program.id}/{program.version}")))
    rule = drawn.draw(st.sampled_from(table["rules"]))
    key = drawn.draw(st.sampled_from(sorted(rule)))
    rule[key + "x"] = rule.pop(key)
    assert not VALIDATOR.is_valid(table)
