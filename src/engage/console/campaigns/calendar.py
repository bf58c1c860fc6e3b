"""The calendar of campaigns: a month, a row a campaign, a bar over its days."""

from calendar import monthrange
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from msgspec import Struct

from engage.flows.campaigns.overview import CampaignOutline

_INSTANT: Final = timedelta(microseconds=1)
_SATURDAY: Final = 5

# Days over which the title of a campaign fits.
_DAYS_OF_A_TITLE: Final = 8


class Bar(Struct, frozen=True):
    """A campaign in a month: the days before it, its own, and those after it. They add up to the month."""

    campaign: CampaignOutline
    before: int
    days: int
    after: int
    begins_earlier: bool
    ends_later: bool

    @property
    def is_short(self) -> bool:
        """The text is wider than the bar, and has room beside it."""
        return self.days < _DAYS_OF_A_TITLE and self.after >= _DAYS_OF_A_TITLE


class Month(Struct, frozen=True):
    """A month with the days of it and the bars of campaigns. `today` is 0 in another month."""

    first: date
    days: int
    today: int
    bars: list[Bar]

    @property
    def last(self) -> date:
        return self.first.replace(day=self.days)

    @property
    def previous(self) -> date:
        return (self.first - timedelta(days=1)).replace(day=1)

    @property
    def following(self) -> date:
        return self.last + timedelta(days=1)

    def day(self, number: int) -> date:
        return self.first.replace(day=number)

    def kind(self, number: int) -> str:
        """Return `today`, `weekend`, or nothing for another day."""
        if number == self.today:
            return "today"
        return "weekend" if self.day(number).weekday() >= _SATURDAY else ""

    @property
    def most_at_once(self) -> int:
        """The most campaigns that run on one day."""
        running = [
            sum(bar.before < day <= bar.before + bar.days for bar in self.bars)
            for day in range(1, self.days + 1)
        ]
        return max(running, default=0)


def month_of(first: date, today: date, campaigns: Iterable[CampaignOutline]) -> Month:
    """Lay campaigns out in the month that begins on `first`, by their own local days."""
    days = monthrange(first.year, first.month)[1]
    last = first.replace(day=days)
    bars = []
    for campaign in campaigns:
        begins, ends = campaign.from_.date(), (campaign.until - _INSTANT).date()
        if ends < first or begins > last:
            continue
        start, end = max(begins, first), min(ends, last)
        bars.append(
            Bar(
                campaign,
                before=start.day - 1,
                days=end.day - start.day + 1,
                after=days - end.day,
                begins_earlier=begins < first,
                ends_later=ends > last,
            )
        )
    is_now = (today.year, today.month) == (first.year, first.month)
    return Month(
        first, days, today.day if is_now else 0, sorted(bars, key=lambda bar: (bar.before, -bar.days))
    )
