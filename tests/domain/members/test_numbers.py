"""Phone and card numbers as people write them have one stored form."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.members.cards import InvalidCardNumber, stored_forms, stored_number
from engage.domain.members.definition import Cards
from engage.domain.members.numbers import compact
from engage.domain.members.phone import InvalidPhoneNumber, is_mobile, masked, normalized
from engage.programs import preset

PHONE = "+375291234567"

# Blanks, dashes, direction marks, zero-width characters, and the signs between groups of digits.
GROUPING = [
    *(" ", "\t", "\n", "\u00a0", "\u202f", "\u2007", "\u2009", "\u3000"),
    *("-", "\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\uff0d", "\u00ad"),
    *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u200e", "\u200f", "\u202a", "\u202c", "\u2068"),
    *(".", "/", "(", ")", "\uff0e", "\uff0f", "\u2044", "\u00b7"),
]
# The zeros of some scripts' digits.
ZEROS = [0x30, 0x660, 0x6F0, 0x966, 0xFF10]

grouped = st.lists(st.sampled_from(GROUPING), max_size=3).map("".join)
digits = st.text("0123456789", min_size=1, max_size=32)


@st.composite
def written(draw: st.DrawFn, number: str) -> str:
    """The number with signs between its characters, its digits in some script, its letters in either case."""
    zero = draw(st.sampled_from(ZEROS))
    parts = []
    for character in number:
        parts.append(draw(grouped))
        if character.isdecimal():
            parts.append(chr(zero + int(character)))
        else:
            parts.append(draw(st.sampled_from([character, character.lower()])))
    return "".join([*parts, draw(grouped)])


@given(st.data(), st.text("0123456789ABCXYZ", min_size=1, max_size=32))
def test_a_card_number_has_one_form_however_it_is_written(data: st.DataObject, number: str) -> None:
    found = data.draw(written(number))
    assert compact(found) == number
    assert stored_number(Cards(), "ES", found) == number
    assert number in stored_forms([], found)


@given(st.data(), st.sampled_from([PHONE, "80291234567", "291234567", "00375291234567", "375291234567"]))
def test_a_phone_number_has_one_form_however_it_is_written(data: st.DataObject, number: str) -> None:
    assert normalized(data.draw(written(number)), "BY") == PHONE


@given(st.text(max_size=40))
def test_a_compact_form_is_its_own_compact_form(text: str) -> None:
    found = compact(text)
    assert found is None or (compact(found) == found and found.isascii())


@given(st.text(max_size=40))
def test_every_unicode_form_of_a_text_is_the_same_number(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert compact(composed) == compact(decomposed)


@given(st.text(max_size=40))
def test_a_stored_phone_number_is_its_own_stored_form(text: str) -> None:
    try:
        stored = normalized(text, "BY")
    except InvalidPhoneNumber:
        return
    assert normalized(stored, "BY") == stored
    # In any country, because it has its prefix.
    assert normalized(stored, "ES") == stored


def test_a_mobile_number_is_known_as_one() -> None:
    assert is_mobile(PHONE)


@pytest.mark.parametrize(
    "wrong", ["", "12", "call me", "8029CALLME7", "+999 123456789", "29123456789012345", "80291234567½", "+"]
)
def test_an_invalid_number_is_rejected(wrong: str) -> None:
    with pytest.raises(InvalidPhoneNumber):
        normalized(wrong, "BY")


@pytest.mark.parametrize("wrong", ["----", "#4929", "CARTE-É", "\u0410-1234", "4929\ud83d", "1" * 33])
def test_a_text_that_is_no_card_number_is_rejected(wrong: str) -> None:
    with pytest.raises(InvalidCardNumber):
        stored_number(Cards(), "ES", wrong)
    assert stored_forms(["ES"], wrong) == []


def test_a_masked_number_shows_its_last_digits() -> None:
    assert masked(PHONE) == "••••••••••567"


def test_a_phone_number_as_card_is_found_in_any_notation() -> None:
    cards, countries = Cards(phone_is_card=True), preset("eu-mi-points/2022").countries
    number = stored_number(cards, "ES", "+34 600 12-34-56")
    assert number == "+34600123456"
    for written_so in ["600123456", "+34600123456", "0034 600 123 456", "600.12.34.56"]:
        assert number in stored_forms(countries, written_so)
    assert stored_number(cards, "ES", "card-77 01") == "CARD7701"
    assert stored_forms(countries, "Card 7701") == ["CARD7701"]


def test_without_phones_as_cards_a_phone_number_is_a_plain_number() -> None:
    assert stored_number(Cards(), "ES", "600 12 34 56") == "600123456"
    assert stored_forms([], "600-123-456") == ["600123456"]
