"""Quote how much of an order points and coupons could pay. A quote promises nothing."""

from datetime import datetime

from msgspec import Struct

from engage.domain.activity import Channel, Lines, MemberId, MinorUnits, Payment
from engage.domain.checkout.offers import (
    Basket,
    CheckoutCoupon,
    CheckoutTerms,
    CouponReason,
    PointsReason,
    offer_coupon,
    offer_points,
)
from engage.domain.document.fields import Currency, ProgramId
from engage.domain.document.order_scope import check_line_ids
from engage.domain.money import Money
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.coupon_state import state_at
from engage.domain.rewards.definition import CouponReward
from engage.flows.checkout.members import find_members
from engage.ledger.balances import read_spendable
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.rewards.coupons import Coupon, read_issued

COUPONS_PER_QUOTE = 100


class QuoteRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order that is about to be paid. `paid` of a line is after the shop's own discounts.

    Without `program` the member is searched in all programs; if several know the id, in those that use the
    order's currency.
    """

    member_id: MemberId
    program: ProgramId | None = None
    lines: Lines
    shipping: MinorUnits = 0
    payment: Payment
    currency: Currency
    channel: Channel | None = None

    def __post_init__(self) -> None:
        """Raises Mismatch if two lines have the same id."""
        check_line_ids(self.lines)


class QuotedCoupon(Struct, frozen=True):
    """A coupon of the member. `discount` is its reduction when used alone; `reasons` say why it does not
    apply.
    """

    code: str
    reward_id: str
    title: str
    value: Money
    expires_at: datetime | None
    applies: bool
    discount: Money
    reasons: list[CouponReason]


class Quote(Struct, frozen=True):
    """The most points this order accepts, and their worth. `reasons` say why there are no more."""

    max_points: int
    discount_max: Money
    coupons: list[QuotedCoupon]
    reasons: list[PointsReason]


async def quote(services: Services, request: QuoteRequest) -> Quote:
    """Quote points and coupons for an order.

    Raises Refusal unknown_program, unknown_member, not_offered, or invalid_request if several programs know
    the member's id; Unavailable.
    """
    now = services.clock.now()
    (member,) = await find_members(services, [request], now=now)
    if isinstance(member, Refusal):
        raise member
    program, market = services.programs.in_force(member.program_id, at=now, country=member.country)
    key = (member.program_id, member.member_id)
    async with transaction(services.db) as conn:
        active = await read_spendable(conn, *key, now=now)
        if active is None:
            raise Refusal(Code.UNKNOWN_MEMBER)
        coupons = await read_issued(conn, *key, now=now, limit=COUPONS_PER_QUOTE)
    basket = basket_of(request)
    terms = CheckoutTerms(program.checkout, program.worth, program.coupons, market)
    offer = offer_points(terms, basket, active=active)
    return Quote(
        offer.max_points,
        Money(offer.value_minor, request.currency),
        [_quoted(services, terms, basket, coupon, now) for coupon in coupons],
        offer.reasons,
    )


def basket_of(request: QuoteRequest) -> Basket:
    return Basket(
        lines=request.lines,
        payment=request.payment,
        currency=request.currency,
        shipping=request.shipping,
        channel=request.channel,
    )


def checkout_coupon(services: Services, coupon: Coupon, now: datetime) -> CheckoutCoupon:
    """Combine a coupon with the reward definition that it was issued under."""
    return CheckoutCoupon(
        code=coupon.code,
        state=state_at(coupon.state, coupon.expires_at, now),
        kind=coupon.kind,
        value_minor=coupon.value_minor,
        currency=coupon.currency,
        reward=_reward_of(services, coupon),
    )


def _reward_of(services: Services, coupon: Coupon) -> CouponReward | None:
    for program in services.programs.versions(coupon.program_id):
        if program.version == coupon.program_version:
            for reward in program.rewards:
                if reward.id == coupon.reward_id and isinstance(reward, CouponReward):
                    return reward
    return None


def _quoted(
    services: Services, terms: CheckoutTerms, basket: Basket, coupon: Coupon, now: datetime
) -> QuotedCoupon:
    presented = checkout_coupon(services, coupon, now)
    offer = offer_coupon(terms, basket, presented)
    assert coupon.value_minor is not None
    assert coupon.currency is not None
    return QuotedCoupon(
        coupon.code,
        coupon.reward_id,
        presented.reward.title if presented.reward else coupon.reward_id,
        Money(coupon.value_minor, coupon.currency),
        coupon.expires_at,
        not offer.reasons,
        Money(offer.discount_minor, basket.currency),
        offer.reasons,
    )
