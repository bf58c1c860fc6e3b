"""The campaigns of a simulated member: the specification of what flows pay for them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.activity import Order
from engage.domain.campaigns.audience import Facts, why_not
from engage.domain.campaigns.bases import Base, base_of, bases_of_order
from engage.domain.campaigns.boosting import Look, additions
from engage.domain.campaigns.composition import bounded, payers, with_definitions, with_rules
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.index import CampaignIndex, PublishedCampaign
from engage.domain.campaigns.lifecycle import Interval
from engage.domain.definitions.definition import BEGINNING
from engage.domain.earning.boost import Boost
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.terms import EarningTerms
from engage.domain.program import sections
from engage.domain.program.program import Program
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember
from engage.domain.tiers.simulated import SimulatedTiers

# The id of a made-up member, which no member has.
NOBODY: Final = ""


class GivenFacts(Struct, frozen=True, kw_only=True):
    """The facts of a member that do not follow from what they do in the simulation.

    Without `joined_at` they join with what they do first; without `levels` these follow. `last_order_at` is
    an earlier payment. A member without a `member_id` is made up: of the shares of members they are in each,
    and held out only where they are `held_out`.
    """

    member_id: str | None = None
    joined_at: datetime | None = None
    levels: frozenset[str] | None = None
    segments: frozenset[str] = frozenset()
    last_order_at: datetime | None = None
    held_out: bool = False


def as_published(campaign: Campaign, version: int = 1) -> PublishedCampaign:
    """A document as if it were approved and had always been so."""
    return PublishedCampaign(campaign, version, (Interval(version, BEGINNING, None),))


def simulate(
    program: Program, country: str, published: Iterable[PublishedCampaign], facts: GivenFacts
) -> SimulatedMember:
    """A new member of a country under a program version and campaigns."""
    zone = program.countries[country].zone
    shared = published if facts.member_id is not None else [_shared_by(each, facts) for each in published]
    index = CampaignIndex(shared)
    newest = {each.id: each.campaign for each in index.published}
    campaigns = [bounded(campaign, zone) for campaign in newest.values()]
    member = sections.simulate(with_definitions(program, campaigns), country)
    member.terms = replace(program.earning, campaigns=payers(campaigns))
    member.joined_at = facts.joined_at
    member.feature(SimulatedTiers).given = facts.levels
    member.add(SimulatedCampaigns(member, index, country, facts))
    return member


def _shared_by(published: PublishedCampaign, facts: GivenFacts) -> PublishedCampaign:
    """A campaign whose shares of members have this one, or hold them out."""
    campaign = published.campaign
    held_out = facts.held_out and campaign.holdout_percent > 0
    audience = replace(campaign.audience, percent=None)
    chosen = replace(campaign, audience=audience, holdout_percent=100 if held_out else 0)
    return replace(published, campaign=chosen)


class SimulatedCampaigns(SimulatedFeature):
    """Campaigns that are known from the beginning. `looks` say what was looked at for boosts, and why not."""

    def __init__(
        self, member: SimulatedMember, index: CampaignIndex, country: str, facts: GivenFacts
    ) -> None:
        self.looks: list[Look] = []
        self._member = member
        self.index = index
        self._country = country
        self._given = facts
        self._widened: dict[tuple[str, ...], EarningTerms] = {}

    def terms(self, terms: EarningTerms, at: datetime) -> EarningTerms:
        """With the rules of the campaigns in force that are for the member."""
        found = [
            each
            for each in self.index.in_force(at, country=self._country, zone=self._zone)
            if each.campaign.rules and why_not(each.campaign, self.facts(at), at) is None
        ]
        names = tuple(each.name for each in found)
        if names not in self._widened:
            self._widened[names] = with_rules(terms, found)
        return self._widened[names]

    def boosts(self, credits: Sequence[NewCredit], at: datetime, order: Order | None = None) -> list[Boost]:
        bases: list[Base]
        if order is None:
            bases = [base_of(credit) for credit in credits]
        else:
            bases = bases_of_order(self._member.terms_at(at), order, credits)
        candidates = partial(self.index.boosting, at=at, country=self._country, zone=self._zone)
        found = additions(bases, candidates, self.facts(at), at, self.looks)
        return [addition.as_boost() for addition in found]

    def facts(self, at: datetime) -> Facts:
        """The facts of the member before an activity at `at`."""
        paid = [facts.paid.at for facts in self._member.orders.values() if facts.paid is not None]
        if self._given.last_order_at is not None:
            paid.append(self._given.last_order_at)
        return Facts(
            program=self._member.terms.program,
            member_id=self._given.member_id or NOBODY,
            country=self._country,
            zone=self._zone,
            joined_at=self._member.joined_at or at,
            levels=self._member.feature(SimulatedTiers).levels(at),
            segments=self._given.segments,
            last_order_at=max((each for each in paid if each <= at), default=None),
        )

    @property
    def _zone(self) -> str:
        return self._member.market.zone
