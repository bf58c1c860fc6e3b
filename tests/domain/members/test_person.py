"""A reference of a person has one form, however it is written."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.members.person import one_form

blanks = st.lists(
    st.sampled_from([" ", "\u00a0", "\u2009", "\u3000", "\t", "\u200b", "\u200e", "\u202e", "\ufeff"]),
    max_size=2,
).map("".join)
references = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(references)
def test_the_form_of_a_reference_is_its_own_form(ref: str) -> None:
    assert one_form(one_form(ref)) == one_form(ref)


@given(references, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_every_unicode_form_is_the_same_person(ref: str, form: str) -> None:
    assert one_form(unicodedata.normalize(form, ref)) == one_form(ref)  # type: ignore[arg-type]  # One of four.


@given(references)
def test_every_case_is_the_same_person(ref: str) -> None:
    assert one_form(ref.casefold()) == one_form(ref)


@given(st.data(), st.text("0123456789ABCDEFÉßΣ-./", min_size=1, max_size=12))
def test_blanks_and_invisible_characters_do_not_matter(data: st.DataObject, ref: str) -> None:
    spread = "".join(data.draw(blanks) + character for character in ref) + data.draw(blanks)
    assert one_form(spread) == one_form(ref)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("DNI 12345678Z", "dni12345678z"),
        ("ＤＮＩ１２３", "DNI123"),
        ("José", "JOSE\u0301"),
        ("STRASSE-1", "straße-1"),
        ("ID\u200b7", "id7"),
        ("ﬁ-1", "FI-1"),
    ],
)
def test_two_spellings_of_one_reference_are_one_person(one: str, other: str) -> None:
    assert one_form(one) == one_form(other)


def test_different_references_stay_different() -> None:
    forms = {one_form(ref) for ref in ("A-1", "A1", "A-2", "Á-1", "A.1")}
    assert len(forms) == 5


def test_a_reference_of_nothing_but_blanks_is_none() -> None:
    assert one_form(" \u200b\u3000") == ""
