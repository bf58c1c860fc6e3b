"""Problems are told in the language that was asked for."""

import re

import pytest

from engage.api.http.languages import LANGUAGES, catalog, message, negotiate
from engage.domain.refusals import Code

TRANSLATED = [language for language in LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_has_its_words_and_names_only_facts_that_it_has(language: str) -> None:
    codes = catalog(language).codes
    assert set(codes) == set(Code)
    for code in Code:
        assert set(re.findall(r"{(\w+)}", codes[code].detail)) <= code.facts.keys(), code


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_language_has_words_of_its_own(language: str) -> None:
    english, own = catalog("en"), catalog(language)
    assert own.reasons.keys() == english.reasons.keys()
    assert [code for code, words in own.codes.items() if words.detail == english.codes[code].detail] == []
    assert set(own.reasons.values()).isdisjoint(english.reasons.values())


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de", "de"),
        ("es-ES,es;q=0.9", "es"),
        ("xx, fr;q=0.3, it;q=0.8", "it"),
        ("de;q=0, nl", "nl"),
        ("", "en"),
        ("*", "en"),
        (";;,,q=", "en"),
        ("de;q=high", "en"),
    ],
)
def test_the_caller_is_answered_in_the_best_of_their_languages(header: str, language: str) -> None:
    assert negotiate(header) == language


def test_facts_are_said_as_the_language_says_them() -> None:
    told = message(Code.ALREADY_TAPPED, Code.ALREADY_TAPPED.examples, "de")
    assert told.detail.endswith("am 22. November 2026 00:00."), "in Madrid, where the member lives"
    nowhere = message(Code.CLOCK_BACKWARDS, Code.CLOCK_BACKWARDS.examples, "de")
    assert "21. November 2026 23:00 UTC" in nowhere.detail
    several = message(Code.NOT_ELIGIBLE, {"reasons": ["country", "company"]}, "fr")
    reasons = catalog("fr").reasons
    assert several.detail.endswith(f"{reasons['country']} et {reasons['company']}.")


def test_a_sentence_names_no_more_than_fit_into_it() -> None:
    told = message(Code.INVALID_DOCUMENT, {"problems": [f"rules[{n}]" for n in range(100)]}, "en")
    assert told.detail.endswith("rules[6], rules[7] and ….")
    exactly = message(Code.INVALID_DOCUMENT, {"problems": [f"rules[{n}]" for n in range(8)]}, "en")
    assert exactly.detail.endswith("rules[6] and rules[7].")
