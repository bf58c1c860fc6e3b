"""Points and coupons are set aside for an order: a hold.

Many at once share a transaction. Each is worked out on the account as the one before left it, so that points
are spent once, however many ask for them.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct, field
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.activity import Identifier
from engage.domain.checkout.definition import Checkout
from engage.domain.checkout.offers import CheckoutTerms, Plan, plan
from engage.domain.keys import MemberKey, OrderKey
from engage.domain.market import Market
from engage.domain.money import Money
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.coupon_codes import CouponCode, read_code
from engage.flows.checkout.close_holds import end_overdue
from engage.flows.checkout.quote import QuoteRequest, basket_of, find_members, voucher_of
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.holds import Hold, add_holds, read_holds_of_orders
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.members import Member
from engage.store.rewards.coupons import Coupon, read_by_codes, write_coupons

COUPONS_PER_HOLD = 10


class HoldRequest(QuoteRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points, or "max" for as many as the order allows, and coupons to set aside for one order."""

    order_id: Identifier
    points: Annotated[int, Meta(ge=0, le=1_000_000_000_000)] | Literal["max"] = 0
    coupon_codes: Annotated[list[CouponCode], Meta(max_length=COUPONS_PER_HOLD)] = field(default_factory=list)


class AppliedCoupon(Struct, frozen=True):
    code: str
    discount: Money


class CheckoutHold(Struct, frozen=True):
    """Points and coupons set aside for an order until `expires_at`. `discount` is the whole reduction,
    coupons included.
    """

    hold_id: UUID
    order_id: str
    points: int
    discount: Money
    coupons: list[AppliedCoupon]
    expires_at: datetime | None


Answers = list[CheckoutHold | Exception | None]


class _Asked(Struct):
    """A hold that is asked for, of a member who is known: by the id they have now. `codes` are as we write
    them.
    """

    index: int
    request: HoldRequest
    member: Member
    program: Program
    market: Market
    codes: list[str]
    fingerprint: str

    @property
    def key(self) -> MemberKey:
        return self.member.program_id, self.member.member_id

    @property
    def order(self) -> OrderKey:
        return *self.key, self.request.order_id


class _Round(Struct):
    """What a transaction has before it, each hold seeing what the one before it has taken."""

    now: datetime
    accounts: Accounts
    holds: dict[OrderKey, list[Hold]]
    coupons: dict[tuple[str, str], Coupon]
    made: list[Hold]
    applied: list[Coupon]


async def hold(services: Services, requests: Sequence[HoldRequest]) -> list[CheckoutHold | Exception]:
    """What is set aside for each, in order, or a Refusal: one of `engage.flows.checkout.quote.quote`, or
    insufficient_points, below_minimum, not_payable_with_points, unknown_coupon, coupon_not_applicable or
    order_has_hold. Raises Unavailable.

    An order has one hold that is open or captured. The same request again is answered with the same hold;
    another one is refused. After a release the order can have a new one.
    """
    now = services.clock.now()
    answers: Answers = [None] * len(requests)
    asked = await _prepare(services, requests, answers, now=now)
    if asked:
        await end_overdue(services, [one.key for one in asked], now=now)
        await _hold(services, asked, answers, now=now)
    done = [answer for answer in answers if answer is not None]
    assert len(done) == len(requests)
    return done


async def _prepare(
    services: Services, requests: Sequence[HoldRequest], answers: Answers, *, now: datetime
) -> list[_Asked]:
    asked = []
    members = await find_members(services, requests, now=now)
    for index, (request, member) in enumerate(zip(requests, members, strict=True)):
        try:
            if isinstance(member, Refusal):
                raise member
            program, market = services.programs.in_force(member.program_id, at=now, country=member.country)
            one = _Asked(index, request, member, program, market, _codes(request), _fingerprint(request))
        except Refusal as refusal:
            answers[index] = refusal
        else:
            asked.append(one)
    return asked


def _codes(request: HoldRequest) -> list[str]:
    """Each once, in their order. Raises Refusal unknown_coupon; invalid_request for a hold of nothing."""
    if request.points == 0 and not request.coupon_codes:
        said = "a hold keeps points, or has coupon_codes"
        raise Refusal(Code.INVALID_REQUEST, errors=[{"field": "points", "message": said}])
    codes: dict[str, None] = {}
    for typed in request.coupon_codes:
        code = read_code(typed)
        if code is None:
            raise _unknown_coupon(typed)
        codes[code] = None
    return list(codes)


def _fingerprint(request: HoldRequest) -> str:
    return hashlib.blake2b(msgspec.json.encode(request), digest_size=16).hexdigest()


async def _hold(services: Services, asked: Sequence[_Asked], answers: Answers, *, now: datetime) -> None:
    async with open_posting(services, cause="held") as posting:
        conn = posting.conn
        accounts = await open_accounts(conn, [one.key for one in asked], now=now)
        holds = await read_holds_of_orders(conn, [one.order for one in asked])
        at_hand = _Round(now, accounts, holds, await _coupons(conn, asked), [], [])
        for one in asked:
            try:
                answers[one.index] = _held(_standing(one, at_hand) or _made(services, one, at_hand))
            except Refusal as refusal:
                answers[one.index] = refusal
        if at_hand.made:
            await add_holds(conn, at_hand.made)
        if at_hand.applied:
            await write_coupons(conn, at_hand.applied)
        await posting.post(accounts, causes={made.key: "held" for made in at_hand.made})


async def _coupons(conn: AsyncConnection, asked: Sequence[_Asked]) -> dict[tuple[str, str], Coupon]:
    codes = [(one.program.id, code) for one in asked for code in one.codes]
    return await read_by_codes(conn, codes) if codes else {}


def _standing(one: _Asked, at_hand: _Round) -> Hold | None:
    """The hold that the order has, if the same was asked for. Raises Refusal order_has_hold."""
    for known in at_hand.holds.get(one.order, ()):
        if known.purpose == "checkout" and known.state in ("open", "captured"):
            if _kept(known)["fingerprint"] != one.fingerprint:
                raise Refusal(Code.ORDER_HAS_HOLD, hold_id=str(known.id), state=known.state)
            return known
    return None


def _made(services: Services, one: _Asked, at_hand: _Round) -> Hold:
    """A new hold, worked out on the account. Raises Refusal."""
    account = at_hand.accounts.by_key.get(one.key)
    if account is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    coupons = [_own(one, code, at_hand) for code in one.codes]
    planned = plan(
        CheckoutTerms(one.program.checkout, one.program.worth, one.program.coupons, one.market),
        basket_of(one.request),
        active=account.active,
        points=one.request.points,
        vouchers=[voucher_of(services, coupon, at_hand.now) for coupon in coupons],
    )
    made = _new(one, planned, at_hand.now)
    if made.points:
        account.hold(made.points, made.id, at_hand.now)
    for coupon in coupons:
        applied = replace(coupon, state="applied", hold_id=made.id, order_id=made.order_id)
        at_hand.coupons[coupon.program_id, coupon.code] = applied
        at_hand.applied.append(applied)
    at_hand.made.append(made)
    at_hand.holds.setdefault(one.order, []).append(made)
    return made


def _own(one: _Asked, code: str, at_hand: _Round) -> Coupon:
    """Raises Refusal unknown_coupon, for another member's too."""
    coupon = at_hand.coupons.get((one.program.id, code))
    if coupon is None or coupon.member_id != one.member.member_id:
        raise _unknown_coupon(code)
    return coupon


def _new(one: _Asked, planned: Plan, now: datetime) -> Hold:
    checkout = one.program.checkout or Checkout()
    return Hold(
        program_id=one.member.program_id,
        member_id=one.member.member_id,
        id=new_id(),
        purpose="checkout",
        state="open",
        points=planned.points,
        order_id=one.request.order_id,
        discount_minor=planned.discount_minor,
        currency=one.request.currency,
        request={
            "fingerprint": one.fingerprint,
            "version": one.program.version,
            "points_minor": planned.points_minor,
            "coupons": planned.coupons,
        },
        created_at=now,
        expires_at=now + checkout.hold_for,
    )


def _held(made: Hold) -> CheckoutHold:
    assert made.order_id is not None
    assert made.currency is not None
    coupons = [
        AppliedCoupon(code, Money(minor, made.currency)) for code, minor in _kept(made)["coupons"].items()
    ]
    discount = Money(made.discount_minor, made.currency)
    return CheckoutHold(made.id, made.order_id, made.points, discount, coupons, made.expires_at)


def _kept(known: Hold) -> dict[str, Any]:
    assert known.request is not None
    return known.request


def _unknown_coupon(code: str) -> Refusal:
    return Refusal(Code.UNKNOWN_COUPON, coupon_code=code)
