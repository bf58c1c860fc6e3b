"""The catalogue of rewards, and the coupons that a member has."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from msgspec import Struct

from engage.domain.market import Market
from engage.domain.money import Money
from engage.domain.program.program import Program
from engage.domain.rewards import allowance
from engage.domain.rewards.definition import AnyReward, CouponReward, FCodeReward
from engage.runtime.database import transaction
from engage.runtime.member_cache import unknown_member
from engage.runtime.services import Services
from engage.store.members.members import Member
from engage.store.rewards.coupons import (
    Coupon,
    CouponState,
    count_issued,
    expire_batch,
    list_coupons,
)
from engage.store.rewards.stock import read_stock

COUPONS_PER_BATCH = 1_000


class RewardLimitView(Struct, frozen=True):
    """How many more the member may redeem. A limit per day or month starts again at `resets_at`."""

    remaining: int
    resets_at: datetime | None


class RewardView(Struct, frozen=True):
    """A reward. `value` and `min_order` belong to a coupon, `product_id` to an F-code. `stock`
    is the number left for all members, null if unlimited; `limit` is null if members have none.
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


class CouponView(Struct, frozen=True):
    """A coupon (`value`) or an F-code (`product_id`). `order_id` is the order that it is applied to or used
    for.
    """

    code: str
    kind: Literal["coupon", "f_code"]
    reward_id: str
    title: str
    value: Money | None
    product_id: str | None
    points: int
    state: CouponState
    issued_at: datetime
    expires_at: datetime | None
    order_id: str | None


async def read_catalogue(services: Services, program_id: str, member_id: str) -> list[RewardView]:
    """What the member's program exchanges points for now, in the order of its document. Raises Refusal
    unknown_member, not_offered; Unavailable.
    """
    member, now = await _member(services, program_id, member_id), services.clock.now()
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
    return [
        _view(
            reward,
            market,
            issued.get((program_id, reward.id), 0),
            allowance.allowance(
                reward, given.get((program_id, member_id, reward.id), 0), at=now, zone=market.zone
            ),
        )
        for reward in offered
    ]


async def read_coupons(
    services: Services,
    program_id: str,
    member_id: str,
    *,
    state: CouponState | None,
    before: UUID | None,
    limit: int,
) -> list[tuple[UUID, CouponView]]:
    """The member's coupons and F-codes with their ids, newest first. Raises Refusal unknown_member."""
    await _member(services, program_id, member_id)
    async with transaction(services.db) as conn:
        found = await list_coupons(
            conn, program_id, member_id, state=state, before=before, limit=limit, now=services.clock.now()
        )
    titles = _titles(services.programs.versions(program_id))
    return [(coupon.id, coupon_view(coupon, titles)) for coupon in found]


async def expire_coupons(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Ends all coupons whose time has come by `now` and whose members nobody else has in hand; how many.
    `on_time`: each at its own time, not now. Raises Unavailable.
    """
    total = 0
    while True:
        async with transaction(services.db) as conn:
            ended = await expire_batch(conn, now=now, on_time=on_time, limit=COUPONS_PER_BATCH)
        total += ended
        if ended < COUPONS_PER_BATCH:
            return total


def issued_view(services: Services, coupon: Coupon) -> CouponView:
    return coupon_view(coupon, _titles(services.programs.versions(coupon.program_id)))


def coupon_view(coupon: Coupon, titles: dict[tuple[str, str], str]) -> CouponView:
    value = None
    if coupon.value_minor is not None and coupon.currency is not None:
        value = Money(coupon.value_minor, coupon.currency)
    return CouponView(
        coupon.code,
        coupon.kind,
        coupon.reward_id,
        titles.get((coupon.program_version, coupon.reward_id), coupon.reward_id),
        value,
        coupon.product_id,
        coupon.points,
        coupon.state,
        coupon.issued_at,
        coupon.expires_at,
        coupon.order_id,
    )


async def _member(services: Services, program_id: str, member_id: str) -> Member:
    key = (program_id, member_id)
    member = (await services.members.find(services.db, [key])).get(key)
    if member is None:
        raise unknown_member()
    return member


def _titles(versions: list[Program]) -> dict[tuple[str, str], str]:
    """Of all rewards there ever were, by (version, reward)."""
    return {(version.version, reward.id): reward.title for version in versions for reward in version.rewards}


def _view(reward: AnyReward, market: Market, issued: int, allowed: allowance.Allowance) -> RewardView:
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
        stock=None if reward.stock is None else max(reward.stock - issued, 0),
        limit=None if allowed.remaining is None else RewardLimitView(allowed.remaining, allowed.resets_at),
    )
