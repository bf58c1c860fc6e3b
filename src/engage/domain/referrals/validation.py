"""Validation of the terms of referrals."""

from collections.abc import Iterator
from datetime import timedelta

from engage.domain.definitions.definition import moment_problems
from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem
from engage.domain.earning.due import LONGEST_DELAY
from engage.domain.referrals.definition import SIDES, ReferralTerms

SHORTEST_AGE, LONGEST_AGE = timedelta(minutes=1), timedelta(days=3660)
LONGEST_HOLD = timedelta(days=366)


def problems(terms: ReferralTerms, path: str = "referral") -> Iterator[Problem]:
    yield from duration_problems(f"{path}.account_age_max", terms.account_age_max, SHORTEST_AGE, LONGEST_AGE)
    yield from duration_problems(f"{path}.hold", terms.hold, timedelta(), LONGEST_HOLD)
    yield from duration_problems(f"{path}.due.delay", terms.due.longest(), timedelta(), LONGEST_DELAY)
    yield from moment_problems(f"{path}.from", terms.from_)
    if terms.advocate is None and terms.friend is None:
        yield Problem(path, "advocate or friend, or both", "neither: nobody would be paid")
    for side in SIDES:
        reward = terms.reward(side)
        if reward is not None and reward.on == "registration" and reward.min_spend_minor is not None:
            expected = "no min_spend_minor: a registration has no amount"
            yield Problem(f"{path}.{side}.min_spend_minor", expected, str(reward.min_spend_minor))


def has_amounts(terms: ReferralTerms) -> bool:
    """Tell whether the terms name amounts in minor units."""
    rewards = (terms.reward(side) for side in SIDES)
    return any(reward is not None and reward.min_spend_minor is not None for reward in rewards)
