"""The conditions of joining a program."""

from datetime import date, datetime
from typing import Final, Literal

from engage.domain.calendar import local_date, start_of_day
from engage.domain.members.definition import Eligibility
from engage.domain.refusals import Code, Refusal

EARLIEST_BIRTH: Final = date(1900, 1, 1)

Reason = Literal["under_age", "country", "company", "person"]


def reasons_against(
    rules: Eligibility, *, kind: Literal["person", "company"], birth_date: date | None, today: date
) -> list[Reason]:
    """The reasons why a person or company may not join; empty for those who may.

    `today` is the date in their zone. Without a birth date the shop has vouched for the age; a given one is
    possible.
    """
    reasons: list[Reason] = []
    if rules.min_age is not None and birth_date is not None and birthday(birth_date, rules.min_age) > today:
        reasons.append("under_age")
    if kind not in rules.kinds:
        reasons.append(kind)
    return reasons


def check_birth_date(birth_date: date | None, *, today: date) -> None:
    """Raises Refusal invalid_birth_date before 1900 and in the future. `today` is the date in their zone."""
    if birth_date is not None and not EARLIEST_BIRTH <= birth_date <= today:
        raise Refusal(Code.INVALID_BIRTH_DATE)


def needs_person_ref(rules: Eligibility, kind: Literal["person", "company"]) -> bool:
    """Tell whether the rules want to know who joins, to keep to one account a person."""
    return kind == "person" and rules.one_account_a_person and rules.person_ref == "required"


def next_birthday(birth_date: date, *, after: datetime, zone: str) -> tuple[datetime, int]:
    """(start of the first birthday that begins later than `after`, in that zone; its year)"""
    year = max(local_date(after, zone).year, birth_date.year + 1)
    while (at := start_of_day(birthday(birth_date, year - birth_date.year), zone)) <= after:
        year += 1
    return at, year


def birthday(birth_date: date, age: int) -> date:
    """The date on which a person reaches an age: 1 March for those born on 29 February, in a year without
    one. A rule of age may be kept a day late, never a day early.
    """
    try:
        return birth_date.replace(year=birth_date.year + age)
    except ValueError:
        return date(birth_date.year + age, 3, 1)
