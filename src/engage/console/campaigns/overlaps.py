"""Campaigns of one program that run at the same time in a month of the calendar."""

from collections.abc import Sequence
from itertools import combinations

from msgspec import Struct

from engage.console.campaigns.calendar import Bar, Month
from engage.flows.campaigns.overview import CampaignOutline


class Overlap(Struct, frozen=True):
    """Two campaigns, and the days of the month on which both run, the last one included."""

    one: CampaignOutline
    other: CampaignOutline
    first: int
    last: int


def overlaps_in(month: Month) -> list[Overlap]:
    """The pairs that meet, by the first day on which they do."""
    by_program: dict[str, list[Bar]] = {}
    for bar in month.bars:
        by_program.setdefault(bar.campaign.program, []).append(bar)
    found = [overlap for bars in by_program.values() for overlap in _between(bars)]
    return sorted(found, key=lambda overlap: (overlap.first, overlap.last))


def _between(bars: Sequence[Bar]) -> list[Overlap]:
    found = []
    for one, other in combinations(bars, 2):
        first = max(one.before, other.before) + 1
        last = min(one.before + one.days, other.before + other.days)
        if first <= last:
            found.append(Overlap(one.campaign, other.campaign, first, last))
    return found
