"""Each template makes a valid campaign of each program that it fits."""

from datetime import datetime, timedelta

import pytest

from engage import programs
from engage.domain.campaigns.surroundings import Surroundings
from engage.domain.campaigns.templates import TEMPLATES, Template, Wanted, made_from
from engage.domain.campaigns.validation import problems
from engage.domain.program.program import Program

BEGIN = datetime(2027, 3, 1)  # noqa: DTZ001  # A local time, as in documents.
WANTED = Wanted(
    id="spring",
    title={"en": "Spring"},
    begin=BEGIN,
    question={"en": "What is a point worth?"},
    answers=[{"en": "A cent"}, {"en": "A dollar"}],
)
PROGRAMS = [programs.read(name) for name in programs.names()]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_template_makes_a_valid_campaign(template: Template) -> None:
    newest = {program.id: program for program in sorted(PROGRAMS, key=lambda each: each.in_force_from)}
    fitting = [program for program in newest.values() if template.fits(program)]
    assert fitting
    for program in fitting:
        campaign = made_from(template, program, WANTED)
        versions = [each for each in PROGRAMS if each.id == program.id]
        assert problems(campaign, Surroundings(programs=versions, campaigns=[])) == []
        assert (campaign.from_, campaign.until) == (BEGIN, BEGIN + timedelta(days=template.days))


def test_a_template_without_its_rules_does_not_fit() -> None:
    [streak] = [template for template in TEMPLATES if template.name == "streak_booster"]
    assert {program.id for program in PROGRAMS if streak.fits(program)} == _with_taps(PROGRAMS)


def _with_taps(known: list[Program]) -> set[str]:
    return {program.id for program in known if any(rule.on.activity == "fuel_tap" for rule in program.rules)}
