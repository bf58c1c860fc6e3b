"""The prices of rewards in campaigns."""

from collections.abc import Callable, Iterable

from msgspec import Struct

from engage.domain.campaigns.definition import Offer
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.keys import RewardKey, offer_key
from engage.domain.rewards.definition import AnyReward


class OfferInForce(Struct, frozen=True):
    """An offer of a campaign, and its price for the reward."""

    published: PublishedCampaign
    offer: Offer
    points: int

    @property
    def key(self) -> RewardKey:
        """The name under which pieces at this price are counted."""
        return offer_key(self.published.campaign.program, self.published.id, self.offer.reward)


def best_offer(
    reward: AnyReward,
    campaigns: Iterable[PublishedCampaign],
    sold_out: Callable[[OfferInForce], bool],
) -> OfferInForce | None:
    """The lowest price of campaigns for a reward, the first of equal ones; None where they have none, and the
    usual price stands. `campaigns` are those in force for the member.
    """
    left = [
        offer
        for offer in offers_of(reward, campaigns)
        if offer.points < reward.points and not sold_out(offer)
    ]
    return min(left, key=lambda offer: (offer.points, offer.published.id), default=None)


def offers_of(reward: AnyReward, campaigns: Iterable[PublishedCampaign]) -> list[OfferInForce]:
    """All prices of campaigns for a reward, sold out or not."""
    return [
        OfferInForce(each, offer, offer.price(reward.points))
        for each in campaigns
        for offer in each.campaign.offers
        if offer.reward == reward.id
    ]
