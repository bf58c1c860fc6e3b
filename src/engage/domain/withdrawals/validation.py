"""Validation of withdrawal terms."""

from collections.abc import Iterator
from datetime import timedelta

from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem, duplicates, shown
from engage.domain.document.worth import Worth, missing_worth
from engage.domain.withdrawals.definition import WithdrawalTerms

LONGEST_COOLDOWN = timedelta(days=366)


def problems(terms: WithdrawalTerms, worth: Worth | None, path: str = "withdrawal") -> Iterator[Problem]:
    yield from missing_worth(worth, path)
    yield from duplicates(terms.methods, f"{path}.methods")
    most = terms.max_points_a_day
    if most is not None and most < terms.min_points:
        yield Problem(f"{path}.max_points_a_day", f"at least min_points ({terms.min_points})", str(most))
    cooldown = terms.number_cooldown
    yield from duration_problems(f"{path}.number_cooldown", cooldown, timedelta(), LONGEST_COOLDOWN)
    if terms.opens_at is not None and terms.open:
        yield Problem(f"{path}.opens_at", "no value, because withdrawals are open", shown(terms.opens_at))
    elif terms.opens_at is not None and terms.opens_at.tzinfo is None:
        expected = "a time with an offset, such as 2026-09-01T00:00:00Z"
        yield Problem(f"{path}.opens_at", expected, shown(terms.opens_at))
