"""Give rewards that cost no points, such as prizes of games. Codes and stock are those of redemptions.

A gift is a redemption of no points, so everything that can be done with a coupon can be done with this one.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import RewardKey
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.rewards import allowance
from engage.domain.rewards.coupon_codes import CODE_BITS, code_of
from engage.domain.rewards.definition import AnyReward, CouponReward, FCodeReward
from engage.ledger.holds import Hold, add_holds
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.store.members.members import Member
from engage.store.rewards import stock as reward_stock
from engage.store.rewards.coupons import Coupon, add_coupons


class Recipient(Struct, frozen=True):
    """A member, with the version and the market that apply to them."""

    member: Member
    program: Program
    market: Market


class GiftStock(Struct):
    """The numbers of scarce rewards that were issued, under lock, with those given since."""

    issued: Counter[RewardKey]
    scarce: frozenset[RewardKey]
    given: Counter[RewardKey]

    def find(self, recipient: Recipient, reward_id: str) -> AnyReward | None:
        """Return a reward to give, or None if it is not offered to this member or sold out."""
        key = (recipient.program.id, reward_id)
        issued = self.issued[key] + self.given[key]
        return allowance.gift(recipient.program.rewards, reward_id, issued=issued)


async def lock_gift_stock(
    services: Services, conn: AsyncConnection, wanted: Iterable[RewardKey]
) -> GiftStock:
    """Lock the stock of rewards that may be given. Comes after the members' balances are locked."""
    keys = set(wanted)
    scarce = frozenset(
        (program_id, reward_id)
        for program_id in {program_id for program_id, _ in keys}
        for reward_id in allowance.scarce(v.rewards for v in services.programs.versions(program_id))
        if (program_id, reward_id) in keys
    )
    issued = await reward_stock.lock_stock(conn, scarce) if scarce else {}
    return GiftStock(Counter(issued), scarce, Counter())


def make_gift(stock: GiftStock, recipient: Recipient, reward: AnyReward, *, now: datetime) -> Coupon:
    """Make the coupon or F-code of a reward, and count it."""
    key = (recipient.program.id, reward.id)
    stock.given[key] += key in stock.scarce
    return Coupon(
        program_id=recipient.member.program_id,
        member_id=recipient.member.member_id,
        id=new_id(),
        kind="coupon" if isinstance(reward, CouponReward) else "f_code",
        reward_id=reward.id,
        program_version=recipient.program.version,
        code=code_of(secrets.randbits(CODE_BITS)),
        points=0,
        value_minor=reward.value_minor if isinstance(reward, CouponReward) else None,
        currency=recipient.market.currency if isinstance(reward, CouponReward) else None,
        product_id=reward.product_id if isinstance(reward, FCodeReward) else None,
        state="issued",
        redemption_id=new_id(),
        issued_at=now,
        expires_at=None if reward.valid_for is None else now + reward.valid_for,
    )


async def write_gifts(conn: AsyncConnection, stock: GiftStock, gifts: Sequence[Coupon]) -> None:
    """Write gifts, each with its redemption of no points, and count them in the locked stock."""
    if not gifts:
        return
    await add_holds(
        conn,
        [
            Hold(
                program_id=gift.program_id,
                member_id=gift.member_id,
                id=gift.redemption_id,
                purpose="redemption",
                state="captured",
                points=0,
                created_at=gift.issued_at,
                closed_at=gift.issued_at,
            )
            for gift in gifts
        ],
    )
    await add_coupons(conn, gifts)
    counted = {key: count for key, count in stock.given.items() if count}
    if counted:
        await reward_stock.add_issued(conn, counted)
