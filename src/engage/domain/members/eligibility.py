"""The conditions of joining a program."""

from datetime import date
from typing import Literal

from engage.domain.members.definition import Eligibility

Reason = Literal["under_age", "country", "company", "person"]


def reasons_against(
    rules: Eligibility, *, kind: Literal["person", "company"], birth_date: date | None, today: date
) -> list[Reason]:
    """The reasons why a person or company may not join; empty for those who may.

    `today` is the date in their zone. Without a birth date the shop has vouched for the age.
    """
    reasons: list[Reason] = []
    # A birth in the future comes first: adding years to it could leave the calendar.
    if (
        rules.min_age is not None
        and birth_date is not None
        and (birth_date > today or birthday(birth_date, rules.min_age) > today)
    ):
        reasons.append("under_age")
    if kind not in rules.kinds:
        reasons.append(kind)
    return reasons


def birthday(birth_date: date, age: int) -> date:
    """The date on which a person reaches an age: 1 March for those born on 29 February, in a year without
    one. A rule of age may be kept a day late, never a day early.
    """
    try:
        return birth_date.replace(year=birth_date.year + age)
    except ValueError:
        return date(birth_date.year + age, 3, 1)
