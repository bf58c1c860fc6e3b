"""Every term of a program has a sentence in every language."""

from datetime import time, timedelta
from typing import Any, get_args

import pytest

from engage import programs
from engage.domain.accounts.expiry import EndOfYear, Expiry, Never, Rolling, Yearly
from engage.domain.earning.awards import Award
from engage.domain.earning.due import After, Due
from engage.domain.earning.limits import Limit, OncePer, PerWindow
from engage.messages.catalogue import LANGUAGES, read_catalog
from engage.messages.program_rules import award_term, due_term, expiry_term, limit_term

TITLES = {"fuel": "Fuel"}


def kinds(union: Any) -> list[str]:
    return [str(kind.__struct_config__.tag) for kind in get_args(union)]


def test_every_kind_of_term_has_a_sentence() -> None:
    keys = {message.id if isinstance(message.id, str) else message.id[0] for message in read_catalog("en")}
    for part, union in (("award", Award), ("limit", Limit), ("due", Due), ("expiry", Expiry)):
        for kind in kinds(union):
            name = "award.bracket" if kind == "brackets" else f"{part}.{kind}"
            assert any(f"{key}.".startswith(f"rule.{name}.") for key in keys), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_term_of_the_presets_is_a_whole_sentence(language: str) -> None:
    for program in map(programs.preset, programs.names()):
        titles = {rule.id: rule.title_in(language) for rule in program.rules}
        terms = [expiry_term(program.expiry, language)]
        for rule in program.rules:
            terms += [award_term(rule.award, rule.unit, language, "EUR"), due_term(rule.due, language)]
            terms += [limit_term(limit, language, titles) for limit in (rule.limit, *rule.also)]
        for term in terms:
            assert "rule." not in term.text, term
            assert "…" not in term.text, term
            assert "{" not in term.text, term


def test_terms_are_shown_as_a_language_writes_them() -> None:
    assert limit_term(PerWindow(count=3, window="month"), "en", TITLES).text == "3 times a month"
    assert limit_term(PerWindow(count=1, window="day"), "en", TITLES).text == "1 time a day"
    assert limit_term(OncePer(field="product_id"), "fr", TITLES).text == "une fois par produit"
    assert due_term(After(delay=timedelta(minutes=5)), "en").text == "after 5 minutes"
    assert due_term(After(delay=timedelta(hours=36)), "de").text == "Wartezeit: 36 Stunden"
    assert due_term(After(delay=timedelta()), "en").text == "at once"
    rolling = expiry_term(Rolling(months=12), "ru")
    assert rolling.text == "Баллы сгорают через 12 месяцев после активации."
    assert (rolling.type, rolling.facts) == ("rolling", {"months": 12})
    yearly = Yearly(month=1, day=1, at=time(12), months=12)
    assert expiry_term(yearly, "fr").text.endswith("chaque année le 1 janvier à 12:00.")
    assert expiry_term(yearly, "en").text == "Older points expire each year on 1 January at 12:00."
    assert expiry_term(Never(), "en").text == "Points do not expire."
    years = [expiry_term(EndOfYear(years_later=number), "en").text for number in (0, 1, 2)]
    assert len(set(years)) == 3
