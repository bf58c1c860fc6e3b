"""Texts show facts as a language writes them."""

from datetime import UTC, datetime

import pytest

from engage.domain.earning.trace import FACTS, TraceCode, TraceStep
from engage.domain.money import Money
from engage.domain.refusals import Code
from engage.messages.catalogue import LANGUAGES, show, translate
from engage.messages.refusals import refusal_message
from engage.messages.traces import trace_line, trace_sentence


def detail(code: Code, language: str, **facts: object) -> str:
    return refusal_message(code, facts, language).detail


def test_a_time_is_shown_in_the_language_and_in_the_members_time_zone() -> None:
    tapped = detail(Code.ALREADY_TAPPED, "de", **Code.ALREADY_TAPPED.examples)
    assert tapped.endswith("am 22. November 2026 00:00."), "in Madrid, where the member lives"
    clock = detail(Code.CLOCK_BACKWARDS, "de", **Code.CLOCK_BACKWARDS.examples)
    assert "21. November 2026 23:00 UTC" in clock


def test_reasons_are_shown_in_words_and_joined_as_the_language_joins_them() -> None:
    text = detail(Code.NOT_ELIGIBLE, "fr", reasons=["country", "company"])
    assert text.endswith("pas dans ce pays et pas pour les entreprises.")


def test_a_sentence_shows_at_most_eight_items() -> None:
    long = detail(Code.DOCUMENT_UNPROVED, "en", problems=[f"rules[{n}]" for n in range(100)])
    assert long.endswith("rules[6], rules[7] and ….")
    short = detail(Code.DOCUMENT_UNPROVED, "en", problems=[f"rules[{n}]" for n in range(8)])
    assert short.endswith("rules[6] and rules[7].")


def test_a_missing_fact_is_shown_as_an_ellipsis() -> None:
    assert detail(Code.BELOW_MINIMUM, "en", active=5) == "The balance has to be at least … points; it is 5."


@pytest.mark.parametrize(
    ("language", "minimum", "noun"),
    [
        ("en", 1, "1 point;"),
        ("en", 50, "50 points;"),
        ("fr", 0, "0 point ;"),
        ("fr", 2, "2 points ;"),
        ("ru", 1, "1 балла;"),
        ("ru", 21, "21 балла;"),
        ("ru", 25, "25 баллов;"),
    ],
)
def test_a_count_selects_the_plural_form(language: str, minimum: int, noun: str) -> None:
    assert noun in detail(Code.BELOW_MINIMUM, language, minimum=minimum, active=0)


@pytest.mark.parametrize(
    ("points", "text"), [(1, "начислен 1 балл"), (3, "3 балла"), (5, "5 баллов"), (11, "11 баллов")]
)
def test_russian_has_three_plural_forms(points: int, text: str) -> None:
    assert text.removeprefix("начислен ") in trace_sentence(TraceStep("each_order", {"points": points}), "ru")


def test_numbers_are_grouped_as_the_language_groups_them() -> None:
    assert show(65_536, "en") == "65,536"
    assert show(65_536, "de") == "65.536"


ORDER = {"rule": "r", "paid_minor": 5000, "lines": 2, "shipping_minor": 0, "discount_minor": 0, "points": 50}
MORE = {"shipping_minor": 300, "discount_minor": 40}


def test_a_step_about_an_order_tells_the_amount_that_counts() -> None:
    facts = ORDER | {"step_points": 1, "step_minor": 100}
    plain = trace_sentence(TraceStep("spend_steps", facts), "en")
    assert plain == "5,000 for 2 lines earn 50 points: 1 for each 100."
    whole = trace_sentence(TraceStep("spend_steps", facts | MORE), "en")
    assert whole.startswith(
        "5,000 for 2 lines and 300 for shipping, less 40 paid with points or coupons earn"
    )


@pytest.mark.parametrize(
    ("language", "currency", "text"),
    [
        ("en", "EUR", "€50.00 for 2 lines and €3.00 for shipping, less €0.40 paid with points or coupons"),
        ("de", "EUR", "50,00\N{NO-BREAK SPACE}€ für 2 Artikel und 3,00\N{NO-BREAK SPACE}€"),
        ("fr", "XOF", "5\N{NARROW NO-BREAK SPACE}000\N{NO-BREAK SPACE}F\N{NARROW NO-BREAK SPACE}CFA pour"),
    ],
)
def test_amounts_of_an_order_are_money_of_its_currency(language: str, currency: str, text: str) -> None:
    facts = ORDER | MORE | {"step_points": 1, "step_minor": 100}
    assert trace_sentence(TraceStep("spend_steps", facts), language, currency).startswith(text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_unknown_step_is_shown_with_its_facts(language: str) -> None:
    assert trace_sentence(TraceStep("later", {"points": 3}), language) == "later, points 3"
    assert trace_sentence(TraceStep("text", {"text": "day 3"}), language) == "day 3"


def test_an_unknown_key_is_shown_as_it_is() -> None:
    assert translate("refusal.none", "ru", {}) == "refusal.none"
    assert show(datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "en") == "2 January 2026 03:04 UTC"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_step_of_a_trace_has_a_sentence_with_its_facts(language: str) -> None:
    for code, names in FACTS.items():
        facts = {name: "2026-11-22" if name == "until" else 2 for name in names}
        sentence = trace_sentence(TraceStep(code, facts), language)
        assert sentence
        assert not sentence.startswith("trace.")
        assert "…" not in sentence
    line = trace_line(TraceStep(TraceCode.NO_SLOT, {"rule": "fuel"}), language)
    assert line.startswith("fuel: ")


def test_letters_of_a_currency_stand_apart_from_the_amount() -> None:
    assert show(Money(750_000, "XOF"), "en").endswith("CFA\N{NO-BREAK SPACE}750,000")
    assert show(Money(500, "EUR"), "en") == "€5.00"
