"""Budgets: what of the wanted points is granted, so that no limit is exceeded. Pure.

Credits are taken in their order. A boost is cut to what is left; a credit that is `whole` is granted with all
its points or not at all.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from engage.domain.campaigns.definition import Campaign
from engage.domain.keys import MemberKey

# Rows that the rest of a budget is spread over, so that many transactions take from it at once.
SLICES: Final = 16


class Wanted(Struct, frozen=True):
    """The points of a credit that a campaign wants to grant. `whole`: all of them, or none. One that is
    `beside` another, by its number among those that are wanted, gets nothing where that one does not. Of one
    that is `reserved` the points are taken already: only the limits of members and devices are open.
    """

    campaign: Campaign
    member: MemberKey
    points: int
    whole: bool = False
    beside: int | None = None
    reserved: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.campaign.program, self.campaign.id


class Used(Struct):
    """The use of limits of a member or a device before these credits: `points` of a member, `count` of each
    of the member's devices.
    """

    points: int = 0
    devices: Sequence[str] = ()


class Left(Struct):
    """The rest of a budget; None is without a limit."""

    points: int | None
    count: int | None

    def take(self, points: int) -> None:
        """Take a credit of these points, if it has any."""
        if self.points is not None:
            self.points -= points
        if self.count is not None and points:
            self.count -= 1


def within_own_limits(
    wanted: Sequence[Wanted],
    used: Mapping[tuple[str, MemberKey], Used],
    device_counts: Mapping[tuple[str, str], int],
) -> list[int]:
    """The points of each credit that the limits of its member and their devices allow.

    `used` is by campaign and member, `device_counts` by campaign and device.
    """
    points_used = {key: use.points for key, use in used.items()}
    counts = dict(device_counts)
    granted: list[int] = []
    for credit in wanted:
        budget = credit.campaign.budget
        key = credit.campaign.id, credit.member
        points = credit.points if _has_base(credit, granted) else 0
        if budget is not None and budget.points_per_member is not None:
            points = _cut(credit, points, budget.points_per_member - points_used.get(key, 0))
        if points and budget is not None and budget.per_device is not None:
            devices = [(credit.campaign.id, device) for device in used[key].devices]
            if any(counts.get(device, 0) >= budget.per_device for device in devices):
                points = 0
            elif points:
                counts |= {device: counts.get(device, 0) + 1 for device in devices}
        points_used[key] = points_used.get(key, 0) + points
        granted.append(points)
    return granted


def within(
    wanted: Sequence[Wanted], points: Sequence[int], left: Mapping[tuple[str, str], Left]
) -> list[int]:
    """The points of each credit that the rests of budgets allow, by program and campaign. `points` are those
    that other limits have left of the credits.
    """
    rests = {key: Left(rest.points, rest.count) for key, rest in left.items()}
    granted: list[int] = []
    for credit, allowed in zip(wanted, points, strict=True):
        rest = Left(None, None) if credit.reserved else rests.get(credit.key, Left(None, None))
        if not _has_base(credit, granted) or (rest.count is not None and rest.count < 1):
            allowed = 0
        elif rest.points is not None:
            allowed = _cut(credit, allowed, rest.points)
        rest.take(allowed)
        granted.append(allowed)
    return granted


def spread(left: int | None) -> list[int | None]:
    """The rest of a budget over its slices, as evenly as possible."""
    if left is None:
        return [None] * SLICES
    return [left // SLICES + (n < left % SLICES) for n in range(SLICES)]


def total_after(limit: int | None, used: int) -> int | None:
    """The total of a budget whose limit has changed: what is used already stays used, until it comes back."""
    return None if limit is None else max(limit, used)


def _has_base(credit: Wanted, granted: Sequence[int]) -> bool:
    return credit.beside is None or granted[credit.beside] > 0


def _cut(credit: Wanted, points: int, left: int) -> int:
    if points <= left:
        return points
    return 0 if credit.whole else max(0, left)
