"""Validation of rewards, alone and against an earlier version."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem, duplicate_names, nearest, shown
from engage.domain.rewards.definition import AnyReward, CouponReward

SHORTEST_VALIDITY, LONGEST_VALIDITY = timedelta(hours=1), timedelta(days=3660)


def problems(rewards: Sequence[AnyReward], path: str = "rewards") -> Iterator[Problem]:
    yield from duplicate_names([reward.id for reward in rewards], path, "id")
    for n, reward in enumerate(rewards):
        field = f"{path}[{n}]"
        validity = reward.valid_for
        yield from duration_problems(f"{field}.valid_for", validity, SHORTEST_VALIDITY, LONGEST_VALIDITY)
        if isinstance(reward, CouponReward) and 0 < reward.min_order_minor < reward.value_minor:
            expected = f"at least the coupon's value ({reward.value_minor}), or 0"
            yield Problem(f"{field}.min_order_minor", expected, str(reward.min_order_minor))


def conflicts(
    earlier: Sequence[AnyReward], later: Sequence[AnyReward], version: str, path: str = "rewards"
) -> Iterator[Problem]:
    """Rewards keep their type: their id names codes that were issued, and counts the stock."""
    types = {reward.id: _type(reward) for reward in earlier}
    for n, reward in enumerate(later):
        before = types.get(reward.id, _type(reward))
        if _type(reward) != before:
            expected = f"{before} as in version {version}, or a new id for a new reward"
            yield Problem(f"{path}[{n}].type", expected, shown(_type(reward)))


def unknown_reward(reward_id: str, path: str, known: Sequence[str]) -> Iterator[Problem]:
    """The problem of an id at `path` that is not among the document's rewards."""
    if reward_id not in known:
        yield Problem(path, "the id of a reward", shown(reward_id) + nearest(reward_id, known))


def _type(reward: AnyReward) -> str:
    return str(reward.__struct_config__.tag)
