"""Conditions of joining."""

from datetime import date

import pytest

from engage.domain.members.definition import Eligibility
from engage.domain.members.eligibility import birthday, check_birth_date, needs_person_ref, reasons_against
from engage.domain.refusals import Refusal

ADULTS = Eligibility(min_age=18)


@pytest.mark.parametrize(
    ("born", "today", "old_enough"),
    [
        (date(2008, 11, 21), date(2026, 11, 21), True),
        (date(2008, 11, 22), date(2026, 11, 21), False),
        (date(2008, 2, 29), date(2026, 2, 28), False),
        (date(2008, 2, 29), date(2026, 3, 1), True),
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


def test_nobody_is_born_before_1900_or_in_the_future() -> None:
    today = date(2026, 11, 21)
    possible = [date(1900, 1, 1), date(1990, 2, 28), today]
    for born in (*possible, None):
        check_birth_date(born, today=today)
    for born in [date(1, 1, 1), date(1899, 12, 31), date(2026, 11, 22), date(9999, 12, 31)]:
        with pytest.raises(Refusal, match="invalid_birth_date"):
            check_birth_date(born, today=today)


def test_a_reference_is_needed_where_a_person_has_one_account() -> None:
    assert needs_person_ref(Eligibility(), "person")
    assert not needs_person_ref(Eligibility(), "company")
    assert not needs_person_ref(Eligibility(one_account_a_person=False), "person")
    assert not needs_person_ref(Eligibility(person_ref="optional"), "person")


def test_every_reason_against_joining_is_listed() -> None:
    both = reasons_against(ADULTS, kind="company", birth_date=date(2020, 1, 1), today=date(2026, 1, 1))
    assert both == ["under_age", "company"]
    shops = Eligibility(kinds=["company"])
    assert reasons_against(shops, kind="person", birth_date=None, today=date(2026, 1, 1)) == ["person"]
