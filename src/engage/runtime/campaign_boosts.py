"""The boosts of campaigns beside the credits of one posting.

Credits that were decided together are boosted together: members whom the same campaigns are for share the
decision about a credit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.bases import Base, base_of
from engage.domain.campaigns.boosting import additions_beside
from engage.domain.campaigns.budget import Wanted
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.index import CampaignIndex, Candidate, Candidates, PublishedCampaign
from engage.domain.campaigns.screen import Screen
from engage.domain.earning.boost import Boost
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.unit import POINTS
from engage.domain.keys import MemberKey
from engage.runtime.audiences import Occasion
from engage.runtime.budgets import take
from engage.runtime.campaign_cache import NO_CAMPAIGNS
from engage.runtime.terms import Acting
from engage.store.members.members import Member

Boosts = tuple[Boost, ...]


class Activity(NamedTuple):
    """An activity at a time in a zone, and the rules of which campaigns may boost what they pay for it."""

    program: str
    at: datetime
    zone: str
    rules: tuple[str, ...]


class Decided(Struct, frozen=True):
    """A credit of a member, and what is added beside it. The points of one that is `reserved` were taken
    from the budget before.
    """

    member: MemberKey
    credit: NewCredit
    boosts: Boosts
    reserved: bool = False


class CampaignBoosts:
    """The boosts of campaigns that are in force at the time of an activity; of one that is ahead of the
    clock, at `now`. `indexes` are the campaigns of all programs, as they are known at `now`.
    """

    def __init__(self, indexes: Mapping[str, CampaignIndex], now: datetime) -> None:
        self._indexes = indexes
        self._now = now
        self._known_candidates: dict[tuple[str, str, datetime, str, str], Candidates] = {}
        self._decided: dict[tuple[int, str, frozenset[str]], Boosts] = {}
        self._reached: dict[tuple[int, frozenset[str]], tuple[Candidates, list[Candidate]]] = {}
        self._screens: dict[tuple[Activity, str, tuple[int, ...]], Screen | None] = {}

    def exist(self, program_id: str) -> bool:
        """True if a program has campaigns, at whatever time."""
        return program_id in self._indexes

    def paying(self, acting: Acting) -> tuple[PublishedCampaign, ...]:
        """The campaigns in force that have rules of their own about what a member does."""
        return acting.paying(self._indexes, self._now)

    def may_boost(self, credit: NewCredit) -> bool:
        """True if a campaign is about the credit's rule, at whatever time."""
        index = self._indexes.get(credit.why.program)
        return index is not None and credit.rule_id in index.boosted_rules

    def occasion(
        self, member: Member, activity: Activity, paying: Sequence[PublishedCampaign] = ()
    ) -> Occasion | None:
        """The occasion of an activity; None where no campaign that boosts its rules, and none that is
        `paying`, can be for the member.
        """
        key = activity, member.country, tuple(map(id, paying))
        if key not in self._screens:
            self._screens[key] = self._screen(activity, member.country, paying)
        screen = self._screens[key]
        if screen is None:
            return None
        shortlist = screen.shortlist(member.member_id, member.joined_at)
        if shortlist.is_empty:
            return None
        return Occasion(member, activity.zone, min(activity.at, self._now), shortlist)

    def _screen(self, activity: Activity, country: str, paying: Sequence[PublishedCampaign]) -> Screen | None:
        index = self._indexes.get(activity.program)
        campaigns = {each.name: each for each in paying}
        for rule in activity.rules:
            for candidate in self._candidates(activity.program, rule, activity.at, activity.zone, country):
                campaigns[candidate.published.name] = candidate.published
        if index is None or not campaigns:
            return None
        at = min(activity.at, self._now)
        return index.screen(campaigns.values(), at, country=country, zone=activity.zone)

    def beside(self, credit: NewCredit, country: str, campaigns: frozenset[str]) -> Boosts:
        """The boosts beside a credit by those campaigns that are for its member."""
        key = id(credit), country, campaigns
        found = self._decided.get(key)
        if found is None:
            found = self._decided[key] = self.of_order(base_of(credit), country, campaigns)
        return found

    def limits(self, credit: NewCredit) -> bool:
        """True if a campaign pays a credit from its budget."""
        return credit.unit == POINTS and self._limited(credit.why.program, credit.campaign) is not None

    async def within_budgets(self, conn: AsyncConnection, decided: Sequence[Decided]) -> list[Boosts | None]:
        """Take credits from budgets; the boosts of each, cut to what is left, and
        None for one that its campaign cannot pay as a whole.

        Raises NeedsTransaction.
        """
        wanted: list[Wanted] = []

        def want(
            by: str | None, each: Decided, points: int, *, whole: bool = False, beside: int | None = None
        ) -> int | None:
            """The number of a credit among those that are wanted; None where no budget limits it."""
            campaign = self._limited(each.member[0], by)
            if campaign is None:
                return None
            reserved = whole and each.reserved
            wanted.append(Wanted(campaign, each.member, points, whole, beside, reserved))
            return len(wanted) - 1

        bases = [
            want(each.credit.campaign, each, each.credit.points, whole=True)
            if each.credit.unit == POINTS
            else None
            for each in decided
        ]
        boosts = [
            [
                None if boost.points is None else want(boost.campaign, each, boost.points, beside=base)
                for boost in each.boosts
            ]
            for each, base in zip(decided, bases, strict=True)
        ]
        granted = await take(conn, wanted, now=self._now)
        return [
            None if base is not None and not granted[base] else tuple(_cut(each.boosts, places, granted))
            for each, base, places in zip(decided, bases, boosts, strict=True)
        ]

    def _limited(self, program_id: str, campaign_id: str | None) -> Campaign | None:
        """A campaign that has a budget."""
        index = self._indexes.get(program_id)
        return None if index is None or campaign_id is None else index.budgeted.get(campaign_id)

    def of_order(self, base: Base, country: str, campaigns: frozenset[str]) -> Boosts:
        """The same of a credit of an order."""
        candidates = self._candidates_of(base.credit, country)
        key = id(candidates), campaigns
        found = self._reached.get(key)
        if found is None:
            # They are kept: no other object may get their id.
            of_these = [each for each in candidates if each.published.id in campaigns]
            found = self._reached[key] = candidates, of_these
        return boosts_beside(base, found[1])

    def _candidates_of(self, credit: NewCredit, country: str) -> Candidates:
        why = credit.why
        return self._candidates(why.program, credit.rule_id, why.at, why.zone, country)

    def _candidates(self, program: str, rule: str, at: datetime, zone: str, country: str) -> Candidates:
        key = program, rule, at, zone, country
        found = self._known_candidates.get(key)
        if found is None:
            index = self._indexes.get(program, NO_CAMPAIGNS)
            found = index.boosting(rule, min(at, self._now), country=country, zone=zone)
            self._known_candidates[key] = found
        return found


def boosts_beside(base: Base, candidates: Iterable[Candidate]) -> Boosts:
    return tuple(addition.as_boost() for addition in additions_beside(base, candidates))


def _cut(boosts: Boosts, places: Sequence[int | None], granted: Sequence[int]) -> Iterator[Boost]:
    """The boosts of a credit with the points that budgets have left of them. `places` are their numbers among
    those that are limited.
    """
    for boost, place in zip(boosts, places, strict=True):
        if place is None or granted[place] == boost.points:
            yield boost
        elif granted[place]:
            yield replace(boost, points=granted[place])
