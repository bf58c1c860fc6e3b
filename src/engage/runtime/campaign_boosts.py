"""The boosts of campaigns beside the credits of one posting.

Credits that were decided together are boosted together: members whom the same campaigns are for share the
decision about a credit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

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
from engage.domain.keys import MemberKey
from engage.runtime.audiences import Occasion
from engage.runtime.budgets import take
from engage.runtime.campaign_cache import NO_CAMPAIGNS
from engage.runtime.facts import facts_of
from engage.runtime.terms import Acting
from engage.store.members.members import Member

Boosts = tuple[Boost, ...]


class CampaignBoosts:
    """The boosts of campaigns that are in force at the time of an activity; of one that is ahead of the
    clock, at `now`. `indexes` are the campaigns of all programs, as they are known at `now`.
    """

    def __init__(self, indexes: Mapping[str, CampaignIndex], now: datetime) -> None:
        self._indexes = indexes
        self._now = now
        self._candidates: dict[tuple[str, str, datetime, str, str], Candidates] = {}
        self._decided: dict[tuple[int, str, frozenset[str]], Boosts] = {}
        self._screens: dict[tuple[Any, ...], Screen | None] = {}

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
        self, member: Member, credits: Sequence[NewCredit], paying: Sequence[PublishedCampaign] = ()
    ) -> Occasion | None:
        """The occasion of the credits of one activity; None where no campaign boosts them and none is
        `paying`.
        """
        if not credits:
            return None
        why = credits[0].why
        rules = tuple(credit.rule_id for credit in credits)
        key = why.program, why.at, why.zone, member.country, rules, tuple(map(id, paying))
        if key not in self._screens:
            self._screens[key] = self._screen(member.country, credits, paying)
        screen = self._screens[key]
        if screen is None:
            return None
        return Occasion(facts_of(member, why.zone), min(why.at, self._now), screen)

    def _screen(
        self, country: str, credits: Sequence[NewCredit], paying: Sequence[PublishedCampaign]
    ) -> Screen | None:
        campaigns = {each.name: each for each in paying}
        for credit in credits:
            for candidate in self._candidates_of(credit, country):
                campaigns[candidate.published.name] = candidate.published
        why = credits[0].why
        index = self._indexes.get(why.program)
        if index is None or not campaigns:
            return None
        at = min(why.at, self._now)
        return index.screen(campaigns.values(), at, country=country, zone=why.zone)

    def beside(self, credit: NewCredit, country: str, campaigns: frozenset[str]) -> Boosts:
        """The boosts beside a credit by those campaigns that are for its member."""
        key = id(credit), country, campaigns
        found = self._decided.get(key)
        if found is None:
            found = self._decided[key] = self.of_order(base_of(credit), country, campaigns)
        return found

    def has_budget(self, program_id: str, campaign_id: str | None) -> bool:
        """True if a version of a campaign has limits of what it grants."""
        index = self._indexes.get(program_id)
        return index is not None and campaign_id in index.budgeted

    async def within_budgets(
        self, conn: AsyncConnection, boosts: Sequence[tuple[MemberKey, Boosts]]
    ) -> list[Boosts]:
        """The boosts of credits, each with its member, cut to what budgets allow; it is taken from them.

        Raises NeedsTransaction.
        """
        wanted = [
            (n, boost, Wanted(campaign, member, boost.points))
            for n, (member, own) in enumerate(boosts)
            for boost in own
            if boost.points is not None
            and (campaign := self._limited(member[0], boost.campaign, boost.version)) is not None
        ]
        if not wanted:
            return [own for _, own in boosts]
        granted = await take(conn, [each for _, _, each in wanted], now=self._now)
        cut = {
            (n, boost.key, boost.rule): points
            for (n, boost, each), points in zip(wanted, granted, strict=True)
            if points != each.points
        }
        return [tuple(_cut(own, n, cut)) for n, (_, own) in enumerate(boosts)]

    def _limited(self, program_id: str, campaign_id: str | None, version: int | None) -> Campaign | None:
        """A version of a campaign that has a budget; None for any other boost."""
        if campaign_id is None or version is None or not self.has_budget(program_id, campaign_id):
            return None
        found = self._indexes[program_id].find(campaign_id, version)
        return None if found is None or found.campaign.budget is None else found.campaign

    def of_order(self, base: Base, country: str, campaigns: frozenset[str]) -> Boosts:
        """The same of a credit of an order."""
        found = self._candidates_of(base.credit, country)
        return boosts_beside(base, [each for each in found if each.published.id in campaigns])

    def _candidates_of(self, credit: NewCredit, country: str) -> Candidates:
        why = credit.why
        key = why.program, credit.rule_id, why.at, why.zone, country
        found = self._candidates.get(key)
        if found is None:
            index = self._indexes.get(why.program, NO_CAMPAIGNS)
            at = min(why.at, self._now)
            found = index.boosting(credit.rule_id, at, country=country, zone=why.zone)
            self._candidates[key] = found
        return found


def boosts_beside(base: Base, candidates: Iterable[Candidate]) -> Boosts:
    return tuple(addition.as_boost() for addition in additions_beside(base, candidates))


def _cut(boosts: Boosts, number: int, cut: Mapping[tuple[int, str, str | None], int]) -> Iterator[Boost]:
    """The boosts of a credit with the points that budgets have left of them."""
    for boost in boosts:
        points = cut.get((number, boost.key, boost.rule), boost.points)
        if points == boost.points:
            yield boost
        elif points:
            yield replace(boost, points=points)
