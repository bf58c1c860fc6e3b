"""The published campaigns of a program, found by a rule or an instant without a look at all of them.

What is in force changes at few instants. Between two of them it is the same for all members of a country and
a zone, apart from boosts of some hours or weekdays, which change at whole minutes.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct

from engage.domain.campaigns.definition import Campaign, CampaignBoost, minutes_of
from engage.domain.campaigns.lifecycle import Interval
from engage.domain.campaigns.screen import Screen
from engage.domain.campaigns.segments import NO_SEGMENTS, SegmentIndex
from engage.domain.definitions.kind import DefinitionKind
from engage.domain.earning.index import RuleIndex, index_rules
from engage.domain.program.kinds import KINDS

CAPACITY = 10_000

K = TypeVar("K")
V = TypeVar("V")


class PublishedCampaign(Struct, frozen=True, dict=True):
    """An approved version, and the times in which it was or is in force, apart from those of its document."""

    campaign: Campaign
    version: int
    intervals: tuple[Interval, ...]

    # Both are asked for again and again, for each candidate of each activity.
    @cached_property
    def id(self) -> str:
        return self.campaign.id

    @cached_property
    def name(self) -> str:
        """The version as traces and credits name it."""
        return f"{self.campaign.id}#{self.version}"

    @cached_property
    def rules(self) -> RuleIndex:
        """The campaign's own rules."""
        return index_rules(self.campaign.rules)

    def is_in_force(self, at: datetime, zone: str) -> bool:
        """Tell whether it is in force at an instant for members of a zone."""
        if not any(interval.contains(at) for interval in self.intervals):
            return False
        return self.campaign.begins_at(zone) <= at < self.campaign.ends_at(zone)

    def changes_at(self, zone: str) -> Iterator[datetime]:
        """The instants at which it may begin or cease to be in force for members of a zone."""
        yield self.campaign.begins_at(zone)
        yield self.campaign.ends_at(zone)
        for interval in self.intervals:
            yield interval.start
            if interval.end is not None:
                yield interval.end

    def is_for(self, country: str) -> bool:
        countries = self.campaign.audience.countries
        return countries is None or country in countries


class Candidate(Struct, frozen=True):
    """A boost that is about a rule."""

    published: PublishedCampaign
    boost: CampaignBoost

    @property
    def is_timed(self) -> bool:
        """True if it holds at some hours or weekdays only."""
        return self.boost.hours is not None or self.boost.weekdays is not None


Candidates = tuple[Candidate, ...]
Span = tuple[int, str, str]  # (number of the time between two changes, country, zone)


class _Boosting(Struct, frozen=True):
    """The boosts about a rule in a span. `minutes` are those of a day at which one may begin or cease to
    hold; None where all hold at all times.
    """

    candidates: Candidates
    minutes: Sequence[int] | None


class CampaignIndex:
    """All published versions of the campaigns of one program, and its `segments` that are computed. It is
    made anew when there are more.
    """

    def __init__(self, published: Iterable[PublishedCampaign], segments: SegmentIndex = NO_SEGMENTS) -> None:
        self.segments = segments
        self.published = tuple(sorted(published, key=lambda each: (each.id, each.version)))
        self._by_name = {(each.id, each.version): each for each in self.published}
        self._changes: dict[str, list[datetime]] = {}  # By zone.
        self._with_rules: dict[tuple[str, Span], tuple[PublishedCampaign, ...]] = {}
        self._in_force: dict[Span, tuple[PublishedCampaign, ...]] = {}
        self._boosting: dict[tuple[str, Span], _Boosting] = {}
        self._timed: dict[tuple[str, Span, int, int], Candidates] = {}
        self._screens: dict[tuple[Span, int, tuple[str, ...]], Screen] = {}
        # The budget of a campaign is that of its newest version, whichever version decided a credit.
        newest = {each.id: each.campaign for each in self.published}
        self.budgeted = {id_: each for id_, each in newest.items() if each.budget is not None}
        self.offered_rewards = frozenset(
            offer.reward for each in self.published for offer in each.campaign.offers
        )
        # The rules of the credits that definitions of campaigns pay.
        self.paying = {
            kind.rule_id(definition.id): each.id
            for each in self.published
            for kind in KINDS
            for definition in kind.of(each.campaign)
        }
        # The kinds of which campaigns bring definitions, each with the campaigns.
        self.brought: dict[str, set[str]] = {}
        for each in self.published:
            for kind in KINDS:
                if kind.of(each.campaign):
                    self.brought.setdefault(kind.plural, set()).add(each.id)
        self._activities = frozenset(
            rule.on.activity for each in self.published for rule in each.campaign.rules
        )
        self.boosted_rules = frozenset(
            rule for each in self.published for boost in each.campaign.boosts for rule in boost.rules
        )

    def find(self, id_: str, version: int) -> PublishedCampaign | None:
        """A version that was approved."""
        return self._by_name.get((id_, version))

    def payer(self, rule_id: str) -> Campaign | None:
        """The campaign that pays for a definition from a budget, by the rule of its credits."""
        return self.budgeted.get(self.paying.get(rule_id, ""))

    def in_force(self, at: datetime, *, country: str, zone: str) -> tuple[PublishedCampaign, ...]:
        """The campaigns in force at an instant whose audience may contain members of a country, by id."""
        span = self._span(at, country, zone)
        found = self._in_force.get(span)
        if found is None:
            found = tuple(
                each for each in self.published if each.is_for(country) and each.is_in_force(at, zone)
            )
            _keep(self._in_force, span, found)
        return found

    def with_rules(
        self, activity: str, at: datetime, *, country: str, zone: str
    ) -> tuple[PublishedCampaign, ...]:
        """Those of the campaigns in force that have rules of their own about an activity."""
        if activity not in self._activities:
            return ()
        key = activity, self._span(at, country, zone)
        found = self._with_rules.get(key)
        if found is None:
            found = tuple(
                each
                for each in self.in_force(at, country=country, zone=zone)
                if any(rule.on.activity == activity for rule in each.campaign.rules)
            )
            _keep(self._with_rules, key, found)
        return found

    def bringing(
        self, kind: DefinitionKind[Any], at: datetime, *, country: str, zone: str
    ) -> list[PublishedCampaign]:
        """Those of the campaigns in force that have definitions of a kind."""
        names = self.brought.get(kind.plural, ())
        if not names:
            return []
        in_force = self.in_force(at, country=country, zone=zone)
        return [each for each in in_force if each.id in names and kind.of(each.campaign)]

    def limiting(self, at: datetime, *, zone: str) -> tuple[PublishedCampaign, ...]:
        """The campaigns that have rules with windows at an instant, even while they are paused."""
        return tuple(
            each
            for each in self.published
            if each.rules.windows and each.campaign.begins_at(zone) <= at < each.campaign.ends_at(zone)
        )

    def rules_about(self, activity: str) -> set[str]:
        """The ids of the rules about any kind of an activity, of all versions."""
        return {
            rule.id for each in self.published for rule in each.campaign.rules if rule.on.activity == activity
        }

    def boosting(self, rule_id: str, at: datetime, *, country: str, zone: str) -> Candidates:
        """The boosts that are about a rule at an instant, each campaign's in the order of its document."""
        if rule_id not in self.boosted_rules:
            return ()
        key = rule_id, self._span(at, country, zone)
        found = self._boosting.get(key)
        if found is None:
            found = _boosting(rule_id, self.in_force(at, country=country, zone=zone))
            _keep(self._boosting, key, found)
        if found.minutes is None:
            return found.candidates
        local = at.astimezone(ZoneInfo(zone))
        timed = *key, local.weekday(), bisect_right(found.minutes, local.hour * 60 + local.minute)
        candidates = self._timed.get(timed)
        if candidates is None:
            candidates = tuple(each for each in found.candidates if each.boost.happens_at(local))
            _keep(self._timed, timed, candidates)
        return candidates

    def screen(
        self, campaigns: Iterable[PublishedCampaign], at: datetime, *, country: str, zone: str
    ) -> Screen:
        """These campaigns of the index, prepared to find those that are for a member at an instant."""
        asked = tuple(campaigns)
        names = tuple(each.name for each in asked)
        key = self._span(at, country, zone), self.segments.epoch(at), names
        found = self._screens.get(key)
        if found is None:
            documents = [each.campaign for each in asked]
            found = Screen(documents, country=country, zone=zone, at=at, segments=self.segments)
            _keep(self._screens, key, found)
        return found

    def _span(self, at: datetime, country: str, zone: str) -> Span:
        changes = self._changes.get(zone)
        if changes is None:
            changes = self._changes[zone] = sorted(
                {change for each in self.published for change in each.changes_at(zone)}
            )
        return bisect_right(changes, at), country, zone


def segments_of(indexes: Mapping[str, CampaignIndex], program_id: str) -> SegmentIndex:
    """The computed segments of a program, by the indexes of all programs that have one."""
    index = indexes.get(program_id)
    return NO_SEGMENTS if index is None else index.segments


def _boosting(rule_id: str, campaigns: Sequence[PublishedCampaign]) -> _Boosting:
    candidates = tuple(
        Candidate(each, boost)
        for each in campaigns
        for boost in each.campaign.boosts
        if rule_id in boost.rules
    )
    if not any(each.is_timed for each in candidates):
        return _Boosting(candidates, None)
    clocks = (clock for each in candidates for clock in each.boost.hours or ())
    return _Boosting(candidates, sorted({minutes_of(clock) for clock in clocks}))


def _keep(cache: dict[K, V], key: K, found: V) -> None:
    if len(cache) >= CAPACITY:
        cache.clear()
    cache[key] = found
