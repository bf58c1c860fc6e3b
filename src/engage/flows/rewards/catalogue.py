"""The catalogue: the rewards that a member can redeem points for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.offers import OfferInForce, best_offer, offers_of
from engage.domain.document.texts import FALLBACK, text_in
from engage.domain.market import Market
from engage.domain.money import Money
from engage.domain.program.program import Program
from engage.domain.rewards import allowance
from engage.domain.rewards.definition import AnyReward, CouponReward, FCodeReward
from engage.flows.rewards.waiting import WaitingPlace
from engage.runtime.audiences import campaigns_for
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import Member
from engage.store.rewards.coupons import count_issued
from engage.store.rewards.stock import read_stock
from engage.store.rewards.waiting import Place, read_places


class RewardLimitView(Struct, frozen=True):
    """The number that the member may still redeem. A limit per day or month starts again at `resets_at`."""

    remaining: int
    resets_at: datetime | None


class OfferView(Struct, frozen=True):
    """The price of a campaign. `left` pieces have it, null without a limit; it ends at `ends_at`, or when the
    campaign does.
    """

    campaign: str
    title: str
    usual_points: int
    left: int | None
    ends_at: datetime


class RewardView(Struct, frozen=True):
    """A reward, at its price now. `offer` is null while it has its usual price. `value` and `min_order`
    belong to a coupon, `product_id` to an F-code. `stock` is the number left, without those kept for members
    who wait and come first; null if unlimited. `limit` is null if members have none, `waiting` if the member
    does not wait.
    """

    id: str
    kind: Literal["coupon", "f_code"]
    title: str
    points: int
    value: Money | None
    min_order: Money | None
    excluded_products: list[str]
    product_id: str | None
    valid_for: timedelta | None
    stock: int | None
    limit: RewardLimitView | None
    waiting: WaitingPlace | None
    offer: OfferView | None


async def read_catalogue(
    services: Services, program_id: str, member_id: str, *, language: str = FALLBACK
) -> list[RewardView]:
    """Read the rewards on offer, in the order of the program document.

    Raises Refusal unknown_member, not_offered; Unavailable.
    """
    member = await services.members.get(services.db, program_id, member_id)
    now = services.clock.now()
    program, market = services.programs.in_force(program_id, at=now, country=member.country)
    offered = allowance.offered(program.rewards)
    scarce = [reward.id for reward in offered if reward.stock is not None]
    limited = [
        (program_id, member_id, reward.id, allowance.counts_since(reward, at=now, zone=market.zone))
        for reward in offered
        if reward.per_member is not None
    ]
    async with transaction(services.db) as conn:
        issued = await read_stock(conn, program_id, scarce) if scarce else {}
        given = await count_issued(conn, limited) if limited else {}
        places = await read_places(conn, member.key, [reward.id for reward in offered])
        offers = await _read_offers(services, conn, member, program, market, offered, now=now)
    return [
        _view(
            reward,
            market,
            offers.get(reward.id),
            language,
            issued.get((program_id, reward.id), 0),
            allowance.allowance(
                reward, given.get((program_id, member_id, reward.id), 0), at=now, zone=market.zone
            ),
            places.get(reward.id),
        )
        for reward in offered
    ]


async def _read_offers(
    services: Services,
    conn: AsyncConnection,
    member: Member,
    program: Program,
    market: Market,
    rewards: Sequence[AnyReward],
    *,
    now: datetime,
) -> dict[str, tuple[OfferInForce, int | None]]:
    """The best offer for each reward that has one, and the pieces left of it."""
    index = (await services.campaigns.at(conn, now)).get(member.program_id)
    if index is None or not index.offered_rewards:
        return {}
    campaigns = await campaigns_for(services, conn, member, program, zone=market.zone, at=now)
    limited = {
        offer.key[1]: offer.offer.stock
        for reward in rewards
        for offer in offers_of(reward, campaigns)
        if offer.offer.stock is not None
    }
    issued = await read_stock(conn, member.program_id, limited) if limited else {}
    left = {key[1]: limited[key[1]] - count for key, count in issued.items()}
    best = (best_offer(reward, campaigns, lambda offer: left.get(offer.key[1], 1) <= 0) for reward in rewards)
    return {offer.offer.reward: (offer, left.get(offer.key[1])) for offer in best if offer is not None}


def _view(
    reward: AnyReward,
    market: Market,
    offered: tuple[OfferInForce, int | None] | None,
    language: str,
    issued: int,
    allowed: allowance.Allowance,
    place: Place | None,
) -> RewardView:
    ahead = 0 if place is None else place.ahead
    waiting = None
    if place is not None and place.position is not None:
        waiting = WaitingPlace(place.position, place.turn_until)
    coupon = reward if isinstance(reward, CouponReward) else None
    return RewardView(
        id=reward.id,
        kind="f_code" if coupon is None else "coupon",
        title=reward.title,
        points=reward.points if offered is None else offered[0].points,
        value=None if coupon is None else Money(coupon.value_minor, market.currency),
        min_order=Money(coupon.min_order_minor, market.currency)
        if coupon and coupon.min_order_minor
        else None,
        excluded_products=[] if coupon is None else coupon.excluded_products,
        product_id=reward.product_id if isinstance(reward, FCodeReward) else None,
        valid_for=reward.valid_for,
        stock=None if reward.stock is None else max(reward.stock - issued - ahead, 0),
        limit=None if allowed.remaining is None else RewardLimitView(allowed.remaining, allowed.resets_at),
        waiting=waiting,
        offer=None if offered is None else _offer(reward, *offered, market.zone, language),
    )


def _offer(reward: AnyReward, offer: OfferInForce, left: int | None, zone: str, language: str) -> OfferView:
    campaign = offer.published.campaign
    title = text_in(campaign.title, language)
    return OfferView(campaign.id, title, reward.points, left, campaign.ends_at(zone))
