"""Budgets: what of the wanted points is granted, so that no limit is exceeded. Pure.

Credits are taken in their order. A boost is cut to what is left; a credit that is `whole` is granted with all
its points or not at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from engage.domain.campaigns.definition import Campaign
from engage.domain.keys import MemberKey

# Rows that the rest of a budget is spread over, so that many transactions take from it at once.
SLICES: Final = 16


class Wanted(Struct, frozen=True):
    """The points of a credit that a campaign wants to grant. `whole`: all of them, or none."""

    campaign: Campaign
    member: MemberKey
    points: int
    whole: bool = False

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
    granted = []
    for credit in wanted:
        budget = credit.campaign.budget
        key = credit.campaign.id, credit.member
        points = credit.points
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


def within(wanted: Iterable[tuple[Wanted, int]], left: Left) -> list[int]:
    """The points of each credit of one campaign that the rest of its budget allows. Credits are given with
    the points that other limits have left of them.
    """
    points_left, count_left = left.points, left.count
    granted = []
    for credit, points in wanted:
        allowed = points if points_left is None else _cut(credit, points, points_left)
        if count_left is not None and count_left < 1:
            allowed = 0
        if points_left is not None:
            points_left -= allowed
        if count_left is not None and allowed:
            count_left -= 1
        granted.append(allowed)
    return granted


def spread(left: int | None) -> list[int | None]:
    """The rest of a budget over its slices, as evenly as possible."""
    if left is None:
        return [None] * SLICES
    return [left // SLICES + (n < left % SLICES) for n in range(SLICES)]


def total_after(limit: int | None, used: int) -> int | None:
    """The total of a budget whose limit has changed: what is used already stays used."""
    return None if limit is None else max(limit, used)


def _cut(credit: Wanted, points: int, left: int) -> int:
    if points <= left:
        return points
    return 0 if credit.whole else max(0, left)
