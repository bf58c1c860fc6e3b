"""Hold points and coupons for an order.

Requests of many callers share a transaction. Each is computed on the account as the one before left it, so
points are spent once, however many requests want them.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.activity import Identifier
from engage.domain.checkout.definition import Checkout
from engage.domain.checkout.offers import CheckoutTerms, Plan, plan
from engage.domain.earning.order_facts import OrderFacts
from engage.domain.keys import OrderKey
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.coupon_codes import CouponCode, read_code
from engage.flows.checkout.checkout_hold import CheckoutHold, stored_request, view_of
from engage.flows.checkout.close_holds import release_overdue_of
from engage.flows.checkout.members import find_members
from engage.flows.checkout.quote import QuoteRequest, basket_of, checkout_coupon
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.holds import Hold, add_holds, read_holds_of_orders, read_overdue_holds
from engage.runtime.batch import decide_each, not_refused, refused
from engage.runtime.idempotency import Keyed, claim_each, keep_each
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.members import Member
from engage.store.rewards.coupons import Coupon, read_by_codes, write_coupons
from engage.store.shop.orders import read_ended_orders

COUPONS_PER_HOLD = 10


class HoldRequest(QuoteRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points, or with `spend_max` as many as the order allows, and coupons to set aside for one order."""

    order_id: Identifier
    points: Annotated[int, Meta(ge=0, le=1_000_000_000_000)] = 0
    spend_max: bool = False
    coupon_codes: Annotated[list[CouponCode], Meta(max_length=COUPONS_PER_HOLD)] = field(default_factory=list)


class _Order(Struct, frozen=True):
    """A valid request: its member, the version and market that apply, its coupon codes in canonical form."""

    request: HoldRequest
    member: Member
    program: Program
    market: Market
    coupon_codes: list[str]
    fingerprint: str
    keyed: Keyed[CheckoutHold] | None

    @property
    def key(self) -> OrderKey:
        return *self.member.key, self.request.order_id

    @property
    def terms(self) -> CheckoutTerms:
        return CheckoutTerms(self.program.checkout, self.program.worth, self.program.coupons, self.market)


class _HoldsOverdue(Exception):
    """Holds of these members have points and coupons whose time is over: they are released first."""


class _State(Struct):
    """Accounts, holds and coupons under lock, changed by one request after the other."""

    services: Services
    now: datetime
    accounts: Accounts
    holds: defaultdict[OrderKey, list[Hold]]
    coupons: dict[tuple[str, str], Coupon]
    ended: dict[OrderKey, tuple[str | None, OrderFacts]]
    new_holds: list[Hold]
    applied_coupons: list[Coupon]


async def hold(
    services: Services,
    requests: Sequence[HoldRequest],
    *,
    keyed: Sequence[Keyed[CheckoutHold] | None] | None = None,
) -> list[CheckoutHold | Refusal]:
    """Set points and coupons aside for each order; return the holds in order. `keyed`: the keys of the
    requests that have one.

    An order has at most one hold that is open or captured. The same request again returns the same hold;
    another request is refused. After a release the order may have a new hold.

    Refusals: those of `engage.flows.checkout.quote.quote`, insufficient_points, below_minimum,
    not_payable_with_points, unknown_coupon, coupon_not_applicable, order_has_hold, order_conflict where
    another member has paid the order, order_cancelled, request_in_flight. Raises
    Unavailable.
    """
    now = services.clock.now()
    keys = keyed or [None] * len(requests)
    members = await find_members(services, requests, now=now)
    wanted = zip(requests, members, keys, strict=True)
    orders = decide_each(wanted, lambda one: _order(services, *one, now=now))
    valid = not_refused(orders)
    if not valid:
        return [*refused(orders)]
    while True:
        try:
            return await _hold_each(services, orders, keys, now=now)
        except _HoldsOverdue:
            await release_overdue_of(services, [order.member.key for order in valid], now=now)


async def _hold_each(
    services: Services,
    orders: Sequence[_Order | Refusal],
    keys: Sequence[Keyed[CheckoutHold] | None],
    *,
    now: datetime,
) -> list[CheckoutHold | Refusal]:
    """Raises _HoldsOverdue, and nothing is done then."""
    async with open_posting(services, cause="held", direct=True) as posting:
        claimed = await claim_each(posting.conn, orders, _key_of)
        state = await _lock(services, posting.conn, not_refused(claimed), now=now)
        holds = decide_each(claimed, partial(_hold, state))
        await _write(posting.conn, state)
        await posting.post(state.accounts, causes={made.key: "held" for made in state.new_holds})
        await keep_each(posting.conn, zip(keys, holds, strict=True))
    return holds


def _key_of(order: _Order) -> Keyed[CheckoutHold] | None:
    return order.keyed


def _order(
    services: Services,
    request: HoldRequest,
    member: Member | Refusal,
    keyed: Keyed[CheckoutHold] | None,
    *,
    now: datetime,
) -> _Order:
    """Raises Refusal."""
    if isinstance(member, Refusal):
        raise member
    _check_points(request)
    program, market = services.programs.in_force(member.program_id, at=now, country=member.country)
    fingerprint = hashlib.blake2b(msgspec.json.encode(request), digest_size=16).hexdigest()
    return _Order(request, member, program, market, _coupon_codes(request), fingerprint, keyed)


def _check_points(request: HoldRequest) -> None:
    """Raises Refusal invalid_request for a request of nothing, or of points in two ways."""
    if request.spend_max and request.points:
        raise _invalid("spend_max", "either points or spend_max")
    if not (request.spend_max or request.points or request.coupon_codes):
        raise _invalid("points", "a hold needs points, spend_max or coupon_codes")


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(Code.INVALID_REQUEST, errors=[{"field": field, "message": message}])


def _coupon_codes(request: HoldRequest) -> list[str]:
    """The codes in canonical form, without repetition. Raises Refusal unknown_coupon."""
    codes: dict[str, None] = {}
    for typed in request.coupon_codes:
        code = read_code(typed)
        if code is None:
            raise _unknown_coupon(typed)
        codes[code] = None
    return list(codes)


async def _lock(
    services: Services, conn: AsyncConnection, orders: Sequence[_Order], *, now: datetime
) -> _State:
    """Raises _HoldsOverdue."""
    members = [order.member.key for order in orders]
    accounts = await open_accounts(conn, members, now=now)
    if await read_overdue_holds(conn, members, at=now):
        raise _HoldsOverdue
    holds = await read_holds_of_orders(conn, [order.key for order in orders])
    codes = [(order.program.id, code) for order in orders for code in order.coupon_codes]
    coupons = await read_by_codes(conn, codes) if codes else {}
    # With the balance locked: whoever cancels an order locks it too, before the holds are read.
    ended = await read_ended_orders(conn, [order.key for order in orders])
    return _State(services, now, accounts, defaultdict(list, holds), coupons, ended, [], [])


async def _write(conn: AsyncConnection, state: _State) -> None:
    if state.new_holds:
        await add_holds(conn, state.new_holds)
    if state.applied_coupons:
        await write_coupons(conn, state.applied_coupons)


def _hold(state: _State, order: _Order) -> CheckoutHold:
    """Raises Refusal."""
    return view_of(_existing_hold(state, order) or _new_hold(state, order))


def _existing_hold(state: _State, order: _Order) -> Hold | None:
    """The order's hold if the request is the same. Raises Refusal order_has_hold."""
    for known in state.holds[order.key]:
        if known.purpose == "checkout" and known.state in ("open", "captured"):
            if stored_request(known)["fingerprint"] != order.fingerprint:
                raise Refusal(Code.ORDER_HAS_HOLD, hold_id=str(known.id), state=known.state)
            return known
    return None


def _new_hold(state: _State, order: _Order) -> Hold:
    """Raises Refusal."""
    account = state.accounts.by_key.get(order.member.key)
    if account is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    _check_open(order, *state.ended.get(order.key, (None, OrderFacts())))
    coupons = [_coupon(state, order, code) for code in order.coupon_codes]
    planned = plan(
        order.terms,
        basket_of(order.request),
        active=account.active,
        points="max" if order.request.spend_max else order.request.points,
        coupons=[checkout_coupon(state.services, coupon, state.now) for coupon in coupons],
    )
    made = _hold_row(order, planned, state.now)
    if made.points:
        account.hold(made.points, made.id, state.now)
    for coupon in coupons:
        applied = replace(coupon, state="applied", hold_id=made.id, order_id=made.order_id)
        state.coupons[coupon.program_id, coupon.code] = applied
        state.applied_coupons.append(applied)
    state.new_holds.append(made)
    state.holds[order.key].append(made)
    return made


def _check_open(order: _Order, owner: str | None, facts: OrderFacts) -> None:
    """Raises Refusal order_conflict where another member has paid the order; order_cancelled where nothing
    of it is left.
    """
    order_id = order.request.order_id
    if owner not in (None, order.member.member_id):
        raise Refusal(Code.ORDER_CONFLICT, order_id=order_id)
    if facts.is_back:
        raise Refusal(Code.ORDER_CANCELLED, order_id=order_id)


def _coupon(state: _State, order: _Order, code: str) -> Coupon:
    """A coupon of this member. Raises Refusal unknown_coupon."""
    coupon = state.coupons.get((order.program.id, code))
    if coupon is None or coupon.member_id != order.member.member_id:
        raise _unknown_coupon(code)
    return coupon


def _hold_row(order: _Order, planned: Plan, now: datetime) -> Hold:
    checkout = order.program.checkout or Checkout()
    return Hold(
        program_id=order.member.program_id,
        member_id=order.member.member_id,
        id=new_id(),
        purpose="checkout",
        state="open",
        points=planned.points,
        order_id=order.request.order_id,
        discount_minor=planned.discount_minor,
        currency=order.request.currency,
        request={
            "fingerprint": order.fingerprint,
            "version": order.program.version,
            "points_minor": planned.points_minor,
            "coupons": planned.coupons,
        },
        created_at=now,
        expires_at=now + checkout.hold_for,
    )


def _unknown_coupon(code: str) -> Refusal:
    return Refusal(Code.UNKNOWN_COUPON, coupon_code=code)
