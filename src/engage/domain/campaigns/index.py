"""The published campaigns of a program, found by a rule or an instant without a look at all of them.

Times in force begin and end at whole seconds, and hours and weekdays at whole minutes. So what is in force
for a country is the same for a second.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct

from engage.domain.campaigns.definition import Campaign, CampaignBoost
from engage.domain.campaigns.lifecycle import Interval

CAPACITY = 10_000

# No zone is further from UTC.
FURTHEST = timedelta(hours=15)

K = TypeVar("K")
V = TypeVar("V")


class PublishedCampaign(Struct, frozen=True):
    """An approved version, and the times in which it was or is in force, apart from those of its document."""

    campaign: Campaign
    version: int
    intervals: tuple[Interval, ...]

    @property
    def id(self) -> str:
        return self.campaign.id

    @property
    def name(self) -> str:
        """The version as traces and credits name it."""
        return f"{self.campaign.id}#{self.version}"

    def is_in_force(self, at: datetime, zone: str) -> bool:
        """Tell whether it is in force at an instant for members of a zone."""
        if not any(interval.contains(at) for interval in self.intervals):
            return False
        return self.campaign.begins_at(zone) <= at < self.campaign.ends_at(zone)

    def is_for(self, country: str) -> bool:
        countries = self.campaign.audience.countries
        return countries is None or country in countries

    def may_be_in_force_on(self, day: date) -> bool:
        """Tell whether it can be in force in some zone at an instant of a day of UTC."""
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        end = start + timedelta(days=1)
        if (
            self.campaign.ends_at("UTC") + FURTHEST <= start
            or self.campaign.begins_at("UTC") - FURTHEST >= end
        ):
            return False
        return any(
            interval.start < end and (interval.end is None or interval.end > start)
            for interval in self.intervals
        )


class Candidate(Struct, frozen=True):
    """A boost that is about a rule."""

    published: PublishedCampaign
    boost: CampaignBoost


class CampaignIndex:
    """All published versions of the campaigns of one program. It is made anew when there are more."""

    def __init__(self, published: Iterable[PublishedCampaign]) -> None:
        self.published = tuple(sorted(published, key=lambda each: (each.id, each.version)))
        self._days: dict[date, tuple[PublishedCampaign, ...]] = {}
        self._in_force: dict[tuple[int, str, str], tuple[PublishedCampaign, ...]] = {}
        self._boosting: dict[tuple[str, int, str, str], tuple[Candidate, ...]] = {}
        self.boosted_rules = frozenset(
            rule for each in self.published for boost in each.campaign.boosts for rule in boost.rules
        )

    def in_force(self, at: datetime, *, country: str, zone: str) -> tuple[PublishedCampaign, ...]:
        """The campaigns in force at an instant whose audience may contain members of a country, by id."""
        key = (int(at.timestamp()), country, zone)
        found = self._in_force.get(key)
        if found is None:
            on_day = self._on_day(at.astimezone(UTC).date())
            found = tuple(each for each in on_day if each.is_for(country) and each.is_in_force(at, zone))
            _keep(self._in_force, key, found)
        return found

    def boosting(self, rule_id: str, at: datetime, *, country: str, zone: str) -> tuple[Candidate, ...]:
        """The boosts that are about a rule at an instant, each campaign's in the order of its document."""
        if rule_id not in self.boosted_rules:
            return ()
        key = (rule_id, int(at.timestamp()), country, zone)
        found = self._boosting.get(key)
        if found is None:
            local = at.astimezone(ZoneInfo(zone))
            found = tuple(self._candidates(self.in_force(at, country=country, zone=zone), rule_id, local))
            _keep(self._boosting, key, found)
        return found

    @staticmethod
    def _candidates(
        campaigns: Sequence[PublishedCampaign], rule_id: str, local: datetime
    ) -> Iterator[Candidate]:
        for each in campaigns:
            for boost in each.campaign.boosts:
                if rule_id in boost.rules and boost.happens_at(local):
                    yield Candidate(each, boost)

    def _on_day(self, day: date) -> tuple[PublishedCampaign, ...]:
        found = self._days.get(day)
        if found is None:
            found = tuple(each for each in self.published if each.may_be_in_force_on(day))
            _keep(self._days, day, found)
        return found


def _keep(cache: dict[K, V], key: K, found: V) -> None:
    if len(cache) >= CAPACITY:
        cache.clear()
    cache[key] = found
