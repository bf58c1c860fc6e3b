"""The rewards that a member can redeem, and how many more of each."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain import calendar
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.definition import AnyReward


class Allowance(Struct, frozen=True):
    """`remaining` redemptions until `resets_at`; None without a limit, or without a window."""

    remaining: int | None
    resets_at: datetime | None


def offered(rewards: Sequence[AnyReward]) -> list[AnyReward]:
    """The rewards that members see."""
    return [reward for reward in rewards if not reward.suspended]


def find(rewards: Sequence[AnyReward], reward_id: str) -> AnyReward:
    """Raises Refusal unknown_reward, also for a suspended one."""
    for reward in offered(rewards):
        if reward.id == reward_id:
            return reward
    raise Refusal(Code.UNKNOWN_REWARD)


def gift(rewards: Sequence[AnyReward], reward_id: str, *, issued: int) -> AnyReward | None:
    """Return a reward to give without points, or None if it is not offered or sold out. `issued`: to all
    members ever. A member's own limit is about redemptions, so a gift does not ask for it.
    """
    for reward in offered(rewards):
        if reward.id == reward_id:
            return None if reward.stock is not None and issued >= reward.stock else reward
    return None


def scarce(versions: Iterable[Sequence[AnyReward]]) -> set[str]:
    """The rewards with a stock in some version. Their issued codes are counted, also under versions without a
    stock.
    """
    return {reward.id for rewards in versions for reward in rewards if reward.stock is not None}


def counts_since(reward: AnyReward, *, at: datetime, zone: str) -> datetime | None:
    """The time since when redemptions count towards the limit; None is since ever."""
    limit = reward.per_member
    return None if limit is None or limit.window is None else calendar.window(limit.window, at, zone).start


def allowance(reward: AnyReward, given: int, *, at: datetime, zone: str) -> Allowance:
    """`given`: redemptions of the member since `counts_since`."""
    limit = reward.per_member
    if limit is None:
        return Allowance(None, None)
    resets_at = None if limit.window is None else calendar.window(limit.window, at, zone).end
    return Allowance(max(limit.count - given, 0), resets_at)


def check(
    reward: AnyReward,
    *,
    version: str,
    given: int,
    issued: int,
    kept: int = 0,
    active: int,
    at: datetime,
    zone: str,
) -> None:
    """Raises Refusal sold_out, limit_reached, reward_limit_reached or insufficient_points.

    `given`: redemptions of the member since `counts_since`. `issued`: those of all members ever. `kept`: the
    pieces that are kept for others.
    """
    if reward.stock is not None and issued + kept >= reward.stock:
        raise Refusal(Code.SOLD_OUT, reward=reward.id)
    allowed = allowance(reward, given, at=at, zone=zone)
    if allowed.remaining == 0:
        assert reward.per_member is not None
        limit, resets_at = reward.per_member.count, allowed.resets_at
        if resets_at is None:
            raise Refusal(Code.REWARD_LIMIT_REACHED, limit=limit, rule=reward.id, version=version)
        raise Refusal(
            Code.LIMIT_REACHED, limit=limit, resets_at=resets_at, zone=zone, rule=reward.id, version=version
        )
    if active < reward.points:
        raise Refusal(Code.INSUFFICIENT_POINTS, active=active, points=reward.points)
