"""The documents that come with engage, and that their examples pin down every number of their rules."""

import tomllib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engage import programs
from engage.domain import examples
from engage.domain.document import parse, schema
from engage.domain.program import After, EveryNthDay, Fixed, PerWindow, Program, Rolling, Rule
from tests.domain.strategies import PRESETS


def _title(program: Program) -> str:
    return f"{program.id} {program.version}"


@pytest.mark.parametrize("program", PRESETS, ids=_title)
def test_a_preset_does_what_its_examples_say(program: Program) -> None:
    assert [str(failure) for failure in examples.check(program)] == []


def test_presets_are_found_by_version_and_by_program() -> None:
    assert programs.names() == ["eu-mi-points/2020", "eu-mi-points/2022"]
    assert programs.preset("eu-mi-points") == programs.preset("eu-mi-points/2022")
    parsed = [parse(text, source="preset") for text in programs.presets()]
    assert [program.version for program in parsed] == ["2020", "2022"]
    for unknown in ("eu-mi-points/2021", "eu", "../programs", ""):
        with pytest.raises(programs.UnknownPreset):
            programs.preset(unknown)


def test_the_countries_and_members_are_those_of_the_guides() -> None:
    zones = {
        "ES": "Europe/Madrid",
        "FR": "Europe/Paris",
        "IT": "Europe/Rome",
        "NL": "Europe/Amsterdam",
        "DE": "Europe/Berlin",
        "GB": "Europe/London",
    }
    old, new = PRESETS
    assert set(old.countries) == {"ES", "FR", "IT", "GB"}
    assert set(new.countries) == set(zones)
    for program in PRESETS:
        for country, market in program.countries.items():
            assert market.zone == zones[country]
            assert market.currency == ("GBP" if country == "GB" else "EUR")
        assert program.eligibility.min_age == 18
        assert program.eligibility.kinds == ["person"]
        assert program.eligibility.one_account_a_person


def _changes() -> Iterator[Any]:
    """Every rule of every preset with one of its numbers changed a little."""
    for program in PRESETS:
        for rule in program.rules:
            for what, changed in _changed(rule):
                rules = [changed if other.id == rule.id else other for other in program.rules]
                name = f"{_title(program)} {rule.id} {what}"
                yield pytest.param(replace(program, rules=rules), id=name)
        assert isinstance(program.expiry, Rolling)
        for months in (program.expiry.months - 1, program.expiry.months + 1):
            changed_program = replace(program, expiry=Rolling(months=months))
            yield pytest.param(changed_program, id=f"{_title(program)} expiry {months}")


def _changed(rule: Rule) -> Iterator[tuple[str, Rule]]:
    assert isinstance(rule.award, Fixed | EveryNthDay)
    assert isinstance(rule.due, After)
    points = rule.award.points
    yield "points + 1", replace(rule, award=replace(rule.award, points=points + 1))
    yield "points - 1", replace(rule, award=replace(rule.award, points=points - 1))
    for delay in (rule.due.delay * 2, rule.due.delay - timedelta(seconds=1)):
        yield f"delay {delay}", replace(rule, due=replace(rule.due, delay=delay))
    if isinstance(rule.limit, PerWindow):
        for count in (rule.limit.count - 1, rule.limit.count + 1):
            yield f"count {count}", replace(rule, limit=replace(rule.limit, count=count))
        yield "window", replace(rule, limit=replace(rule.limit, window="day"))
    if isinstance(rule.award, EveryNthDay):
        for days in (rule.award.days - 1, rule.award.days + 1, rule.award.days * 2):
            yield f"days {days}", replace(rule, award=replace(rule.award, days=days))


@pytest.mark.parametrize("changed", list(_changes()))
def test_no_number_of_a_rule_changes_unnoticed(changed: Program) -> None:
    assert examples.check(changed)


@pytest.mark.parametrize("program", PRESETS, ids=_title)
def test_no_rule_and_no_midnight_is_lost_unnoticed(program: Program) -> None:
    for rule in program.rules:
        if rule.id == "fuel":  # Its bonus would be lost with it.
            continue
        assert examples.check(replace(program, rules=[r for r in program.rules if r.id != rule.id]))
    for country, market in program.countries.items():
        elsewhere = program.countries | {country: replace(market, zone="Atlantic/Azores")}
        assert examples.check(replace(program, countries=elsewhere))


VALIDATOR = jsonschema_rs.Draft7Validator(schema())


def test_the_schema_is_one_that_editors_understand() -> None:
    found = schema()
    assert found["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert found["title"] == "engage program document"
    assert jsonschema_rs.meta.is_valid(found)
    assert "$defs" not in msgspec.json.encode(found).decode()


@pytest.mark.parametrize("name", programs.names())
def test_presets_are_valid_by_the_schema(name: str) -> None:
    # Editors read dates and times of TOML as text.
    table = msgspec.to_builtins(tomllib.loads(programs.text(name)))
    assert [error.message for error in VALIDATOR.iter_errors(table)] == []


@given(st.sampled_from(PRESETS), st.data())
def test_the_schema_refuses_what_is_misspelt(program: Program, drawn: st.DataObject) -> None:
    table = msgspec.to_builtins(tomllib.loads(programs.text(f"{program.id}/{program.version}")))
    rule = drawn.draw(st.sampled_from(table["rules"]))
    key = drawn.draw(st.sampled_from(sorted(rule)))
    rule[key + "x"] = rule.pop(key)
    assert not VALIDATOR.is_valid(table)
