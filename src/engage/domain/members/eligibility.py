"""Who may join a program."""

from datetime import date
from typing import Literal

from engage.domain.members.definition import Eligibility

Reason = Literal["under_age", "country", "company", "person"]


def reasons_against(
    rules: Eligibility, *, kind: Literal["person", "company"], birth_date: date | None, today: date
) -> list[Reason]:
    """Why this one may not join; empty for whoever may. `today` is that of where they live.

    Without a birth date the shop has vouched for the age.
    """
    reasons: list[Reason] = []
    # A birth in the future is asked first: there may be no years to add to it.
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
    """When somebody becomes so old. Who was born on 29 February does on 1 March of a year without one: rules
    of age are kept by being late, never by being early.
    """
    try:
        return birth_date.replace(year=birth_date.year + age)
    except ValueError:
        return date(birth_date.year + age, 3, 1)
