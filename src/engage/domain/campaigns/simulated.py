"""The campaigns of a simulated member: the specification of what flows pay for them."""

from collections.abc import Iterable, Mapping, Sequence
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
from engage.domain.campaigns.member_budgets import NOTHING_USED, BudgetUse, unpaid, within_budgets
from engage.domain.campaigns.offers import OfferInForce, best_offer
from engage.domain.definitions.definition import BEGINNING
from engage.domain.earning.boost import Boost
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.unit import POINTS
from engage.domain.program import sections
from engage.domain.program.program import Program
from engage.domain.rewards.definition import AnyReward
from engage.domain.rewards.simulated import SimulatedRewards
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember
from engage.domain.tiers.simulated import SimulatedTiers

# The id of a made-up member, which no member has.
NOBODY: Final = ""


class GivenFacts(Struct, frozen=True, kw_only=True):
    """The facts of a member that do not follow from what they do in the simulation.

    Without `joined_at` they join with what they do first; without `levels` these follow. `last_order_at` is
    an earlier payment, `budgets` what campaigns have granted before. A member without a `member_id` is made
    up: of the shares of members they are in each, and held out only where they are `held_out`.
    """

    member_id: str | None = None
    joined_at: datetime | None = None
    levels: frozenset[str] | None = None
    segments: frozenset[str] = frozenset()
    last_order_at: datetime | None = None
    budgets: Mapping[str, BudgetUse] = {}
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
    simulated = SimulatedCampaigns(member, index, country, facts)
    member.add(simulated)
    member.feature(SimulatedRewards).priced = simulated.priced
    return member


def _shared_by(published: PublishedCampaign, facts: GivenFacts) -> PublishedCampaign:
    """A campaign whose shares of members have this one, or hold them out."""
    campaign = published.campaign
    held_out = facts.held_out and campaign.holdout_percent > 0
    audience = replace(campaign.audience, percent=None)
    chosen = replace(campaign, audience=audience, holdout_percent=100 if held_out else 0)
    return replace(published, campaign=chosen)


class SimulatedCampaigns(SimulatedFeature):
    """Campaigns that are known from the beginning. `looks` say what was looked at for boosts, and why not;
    `exhausted` are the rules of campaigns that these could not pay at some time.

    Of budgets the member has used what they have been granted and have kept; they have no device.
    """

    def __init__(
        self, member: SimulatedMember, index: CampaignIndex, country: str, facts: GivenFacts
    ) -> None:
        self.looks: list[Look] = []
        self.exhausted: set[str] = set()
        self._member = member
        self.index = index
        self._country = country
        self._given = facts
        self._newest = {each.id: each.campaign for each in index.published}
        self._widened: dict[tuple[str, ...], EarningTerms] = {}

    def terms(self, terms: EarningTerms, at: datetime) -> EarningTerms:
        """With the rules of the campaigns in force that are for the member."""
        found = [each for each in self._in_force(at) if each.campaign.rules]
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
        granted = within_budgets(found, self._used(credits), self.looks) if found else []
        return [addition.as_boost() for addition in granted]

    def unpaid(self, credits: Sequence[NewCredit], at: datetime) -> set[str]:
        found = unpaid(credits, self._newest, self._used())
        self.exhausted |= found
        return found

    def offers(self, rule_id: str, at: datetime) -> bool:
        payer = self._member.terms.campaigns.get(rule_id)
        return payer is None or any(each.id == payer for each in self._in_force(at))

    def priced(self, reward: AnyReward, at: datetime) -> AnyReward:
        """A reward at its price for the member."""
        found = best_offer(reward, self._in_force(at), self._is_sold_out)
        return reward if found is None else replace(reward, points=found.points)

    def _is_sold_out(self, offer: OfferInForce) -> bool:
        """Nobody else redeems anything, so only what the member has had at this price counts."""
        begin = offer.published.campaign.begins_at(self._zone)
        codes = self._member.feature(SimulatedRewards).codes
        had = sum(
            code.reward.id == offer.offer.reward
            and code.reward.points == offer.points
            and code.issued_at >= begin
            for code in codes
        )
        return offer.offer.stock is not None and had >= offer.offer.stock

    def _in_force(self, at: datetime) -> list[PublishedCampaign]:
        """The campaigns in force that are for the member."""
        found = self.index.in_force(at, country=self._country, zone=self._zone)
        facts = self.facts(at) if found else None
        return [each for each in found if facts is not None and why_not(each.campaign, facts, at) is None]

    def _used(self, more: Sequence[NewCredit] = ()) -> dict[str, BudgetUse]:
        """The use of budgets so far, and by `more` credits, by campaign."""
        used = dict(self._given.budgets)
        known = self._member.account.credits
        kept = [(credit.new, credit.kept) for credit in known.values()]
        kept += [(credit, credit.points) for credit in more if credit.source_key not in known]
        for credit, points in kept:
            if credit.campaign is not None and credit.unit == POINTS and points:
                own = BudgetUse(points=points, count=1, member_points=points, device_count=1)
                used[credit.campaign] = used.get(credit.campaign, NOTHING_USED) + own
        return used

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
            last_order_at=max((each for each in paid if each < at), default=None),
        )

    @property
    def _zone(self) -> str:
        return self._member.market.zone
