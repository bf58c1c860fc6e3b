"""Points are exchanged for a reward: a coupon or an F-code, under a code that nobody can guess.

Many redemptions at once share a transaction. A member's limit is counted while their balance is locked; the
stock of a limited reward, while its row is.
"""

import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from engage.domain.keys import MemberKey, RewardKey
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards import allowance
from engage.domain.rewards.coupon_codes import CODE_BITS, code_of
from engage.domain.rewards.definition import AnyReward, CouponReward, FCodeReward
from engage.flows.checkout.close_holds import end_overdue
from engage.flows.rewards.coupons import CouponView, view
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.holds import Hold, add_holds
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.members import Member
from engage.store.rewards import stock as reward_stock
from engage.store.rewards.coupons import Coupon, add_coupons, count_issued


class RewardRequest(Struct, frozen=True):
    """A member and the reward that they want."""

    program_id: str
    member_id: str
    reward_id: str


class Redemption(Struct, frozen=True):
    """Points exchanged for a coupon or an F-code."""

    redemption_id: UUID
    points: int
    coupon: CouponView


Answers = list[Redemption | Exception | None]


class _Wish(Struct):
    """A wish of a member who is known, for a reward that there is."""

    index: int
    member: Member
    program: Program
    market: Market
    reward: AnyReward
    is_scarce: bool

    @property
    def key(self) -> MemberKey:
        return self.member.program_id, self.member.member_id

    @property
    def stock(self) -> RewardKey:
        return self.member.program_id, self.reward.id

    @property
    def given(self) -> tuple[str, str, str]:
        return *self.key, self.reward.id


class _Round(Struct):
    """What a transaction has before it, each redemption seeing what the one before it has taken."""

    now: datetime
    accounts: Accounts
    given: Counter[tuple[str, str, str]]
    issued: Counter[RewardKey]
    holds: list[Hold]
    coupons: list[Coupon]


async def redeem(services: Services, wishes: Sequence[RewardRequest]) -> list[Redemption | Exception]:
    """What came of each, in order, or Refusal unknown_member, not_offered, unknown_reward, sold_out,
    limit_reached, reward_limit_reached or insufficient_points. Raises Unavailable.
    """
    now = services.clock.now()
    answers: Answers = [None] * len(wishes)
    asked = await _prepare(services, wishes, answers, now=now)
    if asked:
        await end_overdue(services, [one.key for one in asked], now=now)
        await _redeem(services, asked, answers, now=now)
    done = [answer for answer in answers if answer is not None]
    assert len(done) == len(wishes)
    return done


async def _prepare(
    services: Services, wishes: Sequence[RewardRequest], answers: Answers, *, now: datetime
) -> list[_Wish]:
    members = await services.members.find(services.db, [(wish.program_id, wish.member_id) for wish in wishes])
    asked = []
    for index, wish in enumerate(wishes):
        member = members.get((wish.program_id, wish.member_id))
        try:
            if member is None:
                raise Refusal(Code.UNKNOWN_MEMBER)
            program, market = services.programs.in_force(wish.program_id, at=now, country=member.country)
            reward = allowance.find(program.rewards, wish.reward_id)
            versions = services.programs.versions(program.id)
            is_scarce = reward.id in allowance.scarce(version.rewards for version in versions)
            asked.append(_Wish(index, member, program, market, reward, is_scarce))
        except Refusal as refusal:
            answers[index] = refusal
    return asked


async def _redeem(services: Services, asked: Sequence[_Wish], answers: Answers, *, now: datetime) -> None:
    async with open_posting(services, cause="redeemed") as posting:
        conn = posting.conn
        accounts = await open_accounts(conn, [one.key for one in asked], now=now)
        limited = [
            (*one.given, allowance.counts_since(one.reward, at=now, zone=one.market.zone))
            for one in asked
            if one.reward.per_member is not None
        ]
        given = await count_issued(conn, limited) if limited else {}
        scarce = [one.stock for one in asked if one.is_scarce]
        issued = await reward_stock.lock_stock(conn, scarce) if scarce else {}
        at_hand = _Round(now, accounts, Counter(given), Counter(issued), [], [])
        for one in asked:
            try:
                answers[one.index] = _redeemed(one, at_hand)
            except Refusal as refusal:
                answers[one.index] = refusal
        more = {key: at_hand.issued[key] - issued[key] for key in issued}
        if any(more.values()):
            await reward_stock.give(conn, more)
        if at_hand.holds:
            await add_holds(conn, at_hand.holds)
            await add_coupons(conn, at_hand.coupons)
        await posting.post(accounts, causes={hold.key: "redeemed" for hold in at_hand.holds})


def _redeemed(one: _Wish, at_hand: _Round) -> Redemption:
    """One redemption, worked out on the account. Raises Refusal."""
    account = at_hand.accounts.by_key.get(one.key)
    if account is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    allowance.check(
        one.reward,
        version=one.program.version,
        given=at_hand.given[one.given],
        issued=at_hand.issued[one.stock],
        active=account.active,
        at=at_hand.now,
        zone=one.market.zone,
    )
    hold = Hold(
        program_id=one.member.program_id,
        member_id=one.member.member_id,
        id=new_id(),
        purpose="redemption",
        state="captured",
        points=one.reward.points,
        created_at=at_hand.now,
        closed_at=at_hand.now,
    )
    account.redeem(one.reward.points, hold.id, at_hand.now)
    coupon = _coupon(one, hold, at_hand.now)
    at_hand.given[one.given] += 1
    at_hand.issued[one.stock] += 1
    at_hand.holds.append(hold)
    at_hand.coupons.append(coupon)
    return Redemption(hold.id, hold.points, view(coupon, one.reward.title))


def _coupon(one: _Wish, hold: Hold, now: datetime) -> Coupon:
    reward = one.reward
    is_coupon = isinstance(reward, CouponReward)
    return Coupon(
        program_id=hold.program_id,
        member_id=hold.member_id,
        id=new_id(),
        kind="coupon" if is_coupon else "f_code",
        reward_id=reward.id,
        program_version=one.program.version,
        code=code_of(secrets.randbits(CODE_BITS)),
        points=reward.points,
        value_minor=reward.value_minor if isinstance(reward, CouponReward) else None,
        currency=one.market.currency if is_coupon else None,
        product_id=reward.product_id if isinstance(reward, FCodeReward) else None,
        state="issued",
        redemption_id=hold.id,
        issued_at=now,
        expires_at=None if reward.valid_for is None else now + reward.valid_for,
    )
