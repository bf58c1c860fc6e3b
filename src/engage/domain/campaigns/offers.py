"""The prices of rewards in campaigns."""

from collections.abc import Callable, Iterable

from msgspec import Struct

from engage.domain.campaigns.definition import Offer
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.rewards.definition import AnyReward


class OfferInForce(Struct, frozen=True):
    """An offer of a campaign, and its price for the reward."""

    published: PublishedCampaign
    offer: Offer
    points: int


def best_offer(
    reward: AnyReward,
    campaigns: Iterable[PublishedCampaign],
    sold_out: Callable[[OfferInForce], bool],
) -> OfferInForce | None:
    """The lowest price of campaigns for a reward, the first of equal ones; None where they have none, and the
    usual price stands. `campaigns` are those in force for the member.
    """
    offers = [
        OfferInForce(each, offer, offer.price(reward.points))
        for each in campaigns
        for offer in each.campaign.offers
        if offer.reward == reward.id
    ]
    left = [offer for offer in offers if not sold_out(offer)]
    return min(left, key=lambda offer: (offer.points, offer.published.id), default=None)
