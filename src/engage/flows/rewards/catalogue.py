"""The catalogue: the rewards that a member can redeem points for."""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from engage.domain.market import Market
from engage.domain.money import Money
from engage.domain.rewards import allowance
from engage.domain.rewards.definition import AnyReward, CouponReward, FCodeReward
from engage.flows.rewards.waiting import WaitingPlace
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.rewards.coupons import count_issued
from engage.store.rewards.stock import read_stock
from engage.store.rewards.waiting import Place, read_places


class RewardLimitView(Struct, frozen=True):
    """The number that the member may still redeem. A limit per day or month starts again at `resets_at`."""

    remaining: int
    resets_at: datetime | None


class RewardView(Struct, frozen=True):
    """A reward. `value` and `min_order` belong to a coupon, `product_id` to an F-code. `stock`
    is the number left, without those kept for members who wait and come first; null if unlimited. `limit` is
    null if members have none, `waiting` if the member does not wait.
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


async def read_catalogue(services: Services, program_id: str, member_id: str) -> list[RewardView]:
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
    return [
        _view(
            reward,
            market,
            issued.get((program_id, reward.id), 0),
            allowance.allowance(
                reward, given.get((program_id, member_id, reward.id), 0), at=now, zone=market.zone
            ),
            places.get(reward.id),
        )
        for reward in offered
    ]


def _view(
    reward: AnyReward, market: Market, issued: int, allowed: allowance.Allowance, place: Place | None
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
        points=reward.points,
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
    )
