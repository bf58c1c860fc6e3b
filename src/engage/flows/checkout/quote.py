"""What of an order could be paid with points and coupons: a quote, which promises nothing."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.activity import Channel, Lines, MemberId, MinorUnits, Payment
from engage.domain.checkout.offers import (
    Basket,
    CheckoutTerms,
    CouponReason,
    PointsReason,
    Voucher,
    offer_coupon,
    offer_points,
    state_at,
)
from engage.domain.document.fields import Currency, ProgramId
from engage.domain.keys import MemberKey
from engage.domain.money import Money
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.definition import CouponReward
from engage.ledger.balances import read_spendable
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import Member
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
        """Raises ValueError where two lines have one id."""
        if len({line.line_id for line in self.lines}) < len(self.lines):
            raise ValueError("two lines have the same line_id")


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


async def quote(services: Services, asked: QuoteRequest) -> Quote:
    """Raises Refusal unknown_program, unknown_member, not_offered, or invalid_request where the member's id
    is known in several programs; Unavailable.
    """
    now = services.clock.now()
    (found,) = await find_members(services, [asked], now=now)
    if isinstance(found, Refusal):
        raise found
    program, market = services.programs.in_force(found.program_id, at=now, country=found.country)
    async with transaction(services.db) as conn:
        active = await read_spendable(conn, found.program_id, found.member_id, now=now)
        if active is None:
            raise Refusal(Code.UNKNOWN_MEMBER)
        coupons = await read_issued(conn, found.program_id, found.member_id, now=now, limit=COUPONS_PER_QUOTE)
    basket = basket_of(asked)
    terms = CheckoutTerms(program.checkout, program.worth, program.coupons, market)
    offer = offer_points(terms, basket, active=active)
    return Quote(
        offer.max_points,
        Money(offer.value_minor, asked.currency),
        [_quoted(services, terms, basket, coupon, now) for coupon in coupons],
        offer.reasons,
    )


def basket_of(asked: QuoteRequest) -> Basket:
    return Basket(
        lines=asked.lines,
        payment=asked.payment,
        currency=asked.currency,
        shipping=asked.shipping,
        channel=asked.channel,
    )


def voucher_of(services: Services, coupon: Coupon, now: datetime) -> Voucher:
    """A coupon with the terms that it was issued with."""
    return Voucher(
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
    voucher = voucher_of(services, coupon, now)
    offer = offer_coupon(terms, basket, voucher)
    assert coupon.value_minor is not None
    assert coupon.currency is not None
    return QuotedCoupon(
        coupon.code,
        coupon.reward_id,
        voucher.reward.title if voucher.reward else coupon.reward_id,
        Money(coupon.value_minor, coupon.currency),
        coupon.expires_at,
        not offer.reasons,
        Money(offer.discount_minor, basket.currency),
        offer.reasons,
    )


async def find_members(
    services: Services, asked: Sequence[QuoteRequest], *, now: datetime
) -> list[Member | Refusal]:
    """Who each is about. A member's id tells them within a program only: where no program is named and
    several know the id, it is the one that the order's currency is of.
    """
    programs = services.programs.ids()
    keys = [
        (program, one.member_id)
        for one in asked
        for program in (programs if one.program is None else [one.program])
    ]
    members = await services.members.find(services.db, keys)
    return [_member(services, programs, members, one, now=now) for one in asked]


def _member(
    services: Services,
    programs: Sequence[str],
    members: dict[MemberKey, Member],
    asked: QuoteRequest,
    *,
    now: datetime,
) -> Member | Refusal:
    if asked.program is not None and asked.program not in programs:
        return Refusal(Code.UNKNOWN_PROGRAM, program=asked.program)
    of = programs if asked.program is None else [asked.program]
    found = [member for program in of if (member := members.get((program, asked.member_id))) is not None]
    if len(found) > 1:
        found = [member for member in found if _currency(services, member, now) == asked.currency] or found
    if len(found) > 1:
        several = ", ".join(member.program_id for member in found)
        said = f"say which: there are members of that id in {several}"
        return Refusal(Code.INVALID_REQUEST, errors=[{"field": "program", "message": said}])
    return found[0] if found else Refusal(Code.UNKNOWN_MEMBER)


def _currency(services: Services, member: Member, now: datetime) -> str | None:
    """That of the member's country, where their program is in force."""
    try:
        _, market = services.programs.in_force(member.program_id, at=now, country=member.country)
    except Refusal:
        return None
    return market.currency
