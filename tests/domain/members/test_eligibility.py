"""Conditions of joining, and the stored form of phone and card numbers."""

from datetime import date

import pytest

from engage.domain.members.cards import stored_forms, stored_number
from engage.domain.members.definition import Cards, Eligibility
from engage.domain.members.eligibility import birthday, reasons_against
from engage.domain.members.phone import InvalidPhoneNumber, is_mobile, masked, normalized
from engage.programs import preset

ADULTS = Eligibility(min_age=18)


@pytest.mark.parametrize(
    ("born", "today", "old_enough"),
    [
        (date(2008, 11, 21), date(2026, 11, 21), True),
        (date(2008, 11, 22), date(2026, 11, 21), False),
        (date(2008, 2, 29), date(2026, 2, 28), False),
        (date(2008, 2, 29), date(2026, 3, 1), True),
        (date(2027, 1, 1), date(2026, 11, 21), False),
        (date(9999, 12, 31), date(2026, 11, 21), False),
    ],
)
def test_an_adult_is_so_from_the_eighteenth_birthday_on(born: date, today: date, old_enough: bool) -> None:
    reasons = reasons_against(ADULTS, kind="person", birth_date=born, today=today)
    assert reasons == ([] if old_enough else ["under_age"])


def test_a_person_born_on_29_february_has_a_birthday_each_year() -> None:
    assert [birthday(date(2004, 2, 29), age) for age in (4, 18, 100)] == [
        date(2008, 2, 29),
        date(2022, 3, 1),
        date(2104, 2, 29),
    ]


def test_every_reason_against_joining_is_listed() -> None:
    both = reasons_against(ADULTS, kind="company", birth_date=date(2020, 1, 1), today=date(2026, 1, 1))
    assert both == ["under_age", "company"]
    shops = Eligibility(kinds=["company"])
    assert reasons_against(shops, kind="person", birth_date=None, today=date(2026, 1, 1)) == ["person"]


@pytest.mark.parametrize(
    "written", ["+375 29 123-45-67", "80291234567", "8 (029) 123-45-67", "375291234567", "291234567"]
)
def test_a_phone_number_has_one_form(written: str) -> None:
    assert normalized(written, "BY") == "+375291234567"
    assert is_mobile("+375291234567")


@pytest.mark.parametrize("written", ["", "12", "call me", "+999 123456789", "29123456789012345"])
def test_an_invalid_number_is_rejected(written: str) -> None:
    with pytest.raises(InvalidPhoneNumber):
        normalized(written, "BY")


def test_a_masked_number_shows_its_last_digits() -> None:
    assert masked("+375291234567") == "••••••••••567"


def test_a_phone_number_as_card_is_found_in_any_notation() -> None:
    cards, countries = Cards(phone_is_card=True), preset("eu-mi-points/2022").countries
    number = stored_number(cards, "ES", "+34 600 12-34-56")
    assert number == "+34600123456"
    for written in ["600123456", "+34600123456", "0034 600 123 456"]:
        assert number in stored_forms(countries, written)
    assert stored_number(cards, "ES", "card-77 01") == "CARD7701"
    assert stored_forms(countries, "Card 7701") == ["CARD7701"]


def test_without_phones_as_cards_a_phone_number_is_a_plain_number() -> None:
    cards = Cards()
    assert stored_number(cards, "ES", "600 12 34 56") == "600123456"
    assert stored_forms([], "600-123-456") == ["600123456"]
    assert stored_number(cards, "ES", "----") == "----"
