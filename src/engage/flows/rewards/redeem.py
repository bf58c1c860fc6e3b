"""Redeem points for a reward: a coupon or an F-code, under a code that nobody can guess.

Requests of many callers share a transaction. A member's limit is counted while their balance is locked, the
stock of a limited reward while its row is locked.
"""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.campaigns.offers import OfferInForce, best_offer, offers_of
from engage.domain.keys import RewardKey
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards import allowance
from engage.domain.rewards.coupon_codes import CODE_BITS, code_of
from engage.domain.rewards.definition import AnyReward, CouponReward, FCodeReward
from engage.domain.rewards.waiting import MOST_WAITING, pieces_left
from engage.flows.checkout.close_holds import release_overdue_of
from engage.flows.rewards.coupons import CouponView, view
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.holds import Hold, add_holds
from engage.runtime.audiences import campaigns_for
from engage.runtime.batch import decide_each, not_refused, refused
from engage.runtime.idempotency import Keyed, claim_each, keep_each
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.members import Member
from engage.store.rewards import stock as reward_stock
from engage.store.rewards.coupons import Coupon, add_coupons, count_issued
from engage.store.rewards.waiting import leave_line, read_first


class RewardRequest(Struct, frozen=True):
    """A member and the reward that they want."""

    program_id: str
    member_id: str
    reward_id: str
    keyed: "Keyed[Redemption] | None" = None


class Redemption(Struct, frozen=True, omit_defaults=True):
    """Points exchanged for a coupon or an F-code."""

    redemption_id: UUID
    points: int
    coupon: CouponView | None = None
    f_code: CouponView | None = None

    @property
    def issued(self) -> CouponView:
        issued = self.coupon or self.f_code
        assert issued is not None
        return issued


class _Order(Struct, frozen=True):
    """A valid request: its member, the version and market that apply, the reward. `is_scarce`: some version
    limits its stock. `offers` are the campaigns in force that may offer the reward to the member.
    """

    member: Member
    program: Program
    market: Market
    reward: AnyReward
    is_scarce: bool
    keyed: Keyed[Redemption] | None
    campaigns: Sequence[PublishedCampaign] = ()

    @property
    def offers(self) -> list[OfferInForce]:
        return offers_of(self.reward, self.campaigns)

    @property
    def reward_key(self) -> RewardKey:
        return self.member.program_id, self.reward.id

    @property
    def issued_key(self) -> tuple[str, str, str]:
        return *self.member.key, self.reward.id


class _State(Struct):
    """Accounts and stock under lock, changed by one redemption after the other.

    `issued` counts rewards issued to each member within the limit's window, `stock_used` to all members.
    `lines` are the first members who wait for a reward, `served` those of them who have redeemed it.
    """

    now: datetime
    accounts: Accounts
    issued: Counter[tuple[str, str, str]]
    stock_used: Counter[RewardKey]
    stock_before: dict[RewardKey, int]
    lines: dict[RewardKey, list[str]]
    holds: list[Hold] = []
    coupons: list[Coupon] = []
    served: list[tuple[str, str, str]] = []


async def redeem(services: Services, requests: Sequence[RewardRequest]) -> list[Redemption | Refusal]:
    """Redeem points for rewards; return the redemptions in order.

    Refusals: unknown_member, not_offered, unknown_reward, sold_out, limit_reached, reward_limit_reached,
    insufficient_points, request_in_flight. Raises Unavailable.
    """
    now = services.clock.now()
    keys = [(request.program_id, request.member_id) for request in requests]
    members = await services.members.find(services.db, keys)
    orders = decide_each(
        requests,
        lambda request: _order(
            services, members.get((request.program_id, request.member_id)), request, now=now
        ),
    )
    valid = not_refused(orders)
    if not valid:
        return [*refused(orders)]
    await release_overdue_of(services, [order.member.key for order in valid], now=now)
    async with open_posting(services, cause="redeemed") as posting:
        orders = await claim_each(posting.conn, orders, lambda order: order.keyed)
        orders = await _with_campaigns(services, posting.conn, orders, now=now)
        state = await _lock(posting.conn, not_refused(orders), now=now)
        redemptions = decide_each(orders, partial(_redeem, state))
        await _write(posting.conn, state)
        await posting.post(state.accounts, causes={hold.key: "redeemed" for hold in state.holds})
        under_keys = [request.keyed for request in requests]
        await keep_each(posting.conn, zip(under_keys, redemptions, strict=True))
    return redemptions


def _order(services: Services, member: Member | None, request: RewardRequest, *, now: datetime) -> _Order:
    """Raises Refusal unknown_member, not_offered, unknown_reward."""
    if member is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    program, market = services.programs.in_force(request.program_id, at=now, country=member.country)
    reward = allowance.find(program.rewards, request.reward_id)
    versions = services.programs.versions(program.id)
    is_scarce = reward.id in allowance.scarce(version.rewards for version in versions)
    return _Order(member, program, market, reward, is_scarce, request.keyed)


async def _with_campaigns(
    services: Services, conn: AsyncConnection, orders: Sequence[_Order | Refusal], *, now: datetime
) -> list[_Order | Refusal]:
    """Add to requests the campaigns that are for their members, where one may offer the reward."""
    indexes = await services.campaigns.at(conn, now)
    return [
        replace(
            order,
            campaigns=await campaigns_for(
                services, conn, order.member, order.program, zone=order.market.zone, at=now
            ),
        )
        if isinstance(order, _Order)
        and order.member.program_id in indexes
        and order.reward.id in indexes[order.member.program_id].offered_rewards
        else order
        for order in orders
    ]


async def _lock(conn: AsyncConnection, orders: Sequence[_Order], *, now: datetime) -> _State:
    accounts = await open_accounts(conn, [order.member.key for order in orders], now=now)
    limited = [
        (*order.issued_key, allowance.counts_since(order.reward, at=now, zone=order.market.zone))
        for order in orders
        if order.reward.per_member is not None
    ]
    issued = await count_issued(conn, limited) if limited else {}
    scarce = [order.reward_key for order in orders if order.is_scarce]
    scarce += [offer.key for order in orders for offer in order.offers if offer.offer.stock is not None]
    stock_used = await reward_stock.lock_stock(conn, scarce) if scarce else {}
    lines = await _read_lines(conn, orders, stock_used)
    return _State(now, accounts, Counter(issued), Counter(stock_used), stock_used, lines)


async def _read_lines(
    conn: AsyncConnection, orders: Sequence[_Order], issued: Mapping[RewardKey, int]
) -> dict[RewardKey, list[str]]:
    """Read of each scarce reward who waits for it, as many members as there are pieces. Who waits for one
    that is not scarce does so in vain.
    """
    pieces = {
        order.reward_key: min(left, MOST_WAITING)
        for order in orders
        if order.is_scarce and (left := pieces_left(order.reward.stock, issued[order.reward_key]))
    }
    return {key: await read_first(conn, key, limit=limit) for key, limit in sorted(pieces.items())}


async def _write(conn: AsyncConnection, state: _State) -> None:
    taken = {key: state.stock_used[key] - before for key, before in state.stock_before.items()}
    if any(taken.values()):
        await reward_stock.add_issued(conn, taken)
    if state.holds:
        await add_holds(conn, state.holds)
        await add_coupons(conn, state.coupons)
    if state.served:
        await leave_line(conn, state.served)


def _redeem(state: _State, order: _Order) -> Redemption:
    """Raises Refusal."""
    account = state.accounts.by_key.get(order.member.key)
    if account is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    offer = best_offer(order.reward, order.campaigns, partial(_is_sold_out, state))
    reward = order.reward if offer is None else replace(order.reward, points=offer.points)
    line = state.lines.get(order.reward_key, [])
    allowance.check(
        reward,
        version=order.program.version,
        given=state.issued[order.issued_key],
        issued=state.stock_used[order.reward_key],
        kept=_ahead(line, order.member.member_id),
        active=account.active,
        at=state.now,
        zone=order.market.zone,
    )
    hold = Hold(
        program_id=order.member.program_id,
        member_id=order.member.member_id,
        id=new_id(),
        purpose="redemption",
        state="captured",
        points=reward.points,
        created_at=state.now,
        closed_at=state.now,
    )
    account.redeem(reward.points, hold.id, state.now)
    campaign = None if offer is None else offer.published.id
    coupon = replace(_coupon(order, hold, state.now), points=reward.points, campaign=campaign)
    state.issued[order.issued_key] += 1
    state.stock_used[order.reward_key] += 1
    if offer is not None:
        state.stock_used[offer.key] += 1
    state.holds.append(hold)
    state.coupons.append(coupon)
    if order.member.member_id in line:
        line.remove(order.member.member_id)
        state.served.append((*order.reward_key, order.member.member_id))
    return Redemption(hold.id, hold.points, **{coupon.kind: view(coupon, reward.title)})


def _is_sold_out(state: _State, offer: OfferInForce) -> bool:
    return offer.offer.stock is not None and state.stock_used[offer.key] >= offer.offer.stock


def _ahead(line: Sequence[str], member_id: str) -> int:
    """The members for whom pieces are kept before this one gets any."""
    return line.index(member_id) if member_id in line else len(line)


def _coupon(order: _Order, hold: Hold, now: datetime) -> Coupon:
    reward = order.reward
    is_coupon = isinstance(reward, CouponReward)
    return Coupon(
        program_id=hold.program_id,
        member_id=hold.member_id,
        id=new_id(),
        kind="coupon" if is_coupon else "f_code",
        reward_id=reward.id,
        program_version=order.program.version,
        code=code_of(secrets.randbits(CODE_BITS)),
        points=reward.points,
        value_minor=reward.value_minor if isinstance(reward, CouponReward) else None,
        currency=order.market.currency if is_coupon else None,
        product_id=reward.product_id if isinstance(reward, FCodeReward) else None,
        state="issued",
        redemption_id=hold.id,
        issued_at=now,
        expires_at=None if reward.valid_for is None else now + reward.valid_for,
    )
