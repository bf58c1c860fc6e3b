"""The coupons and F-codes of a simulated member."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.refusals import Code, Refusal
from engage.domain.rewards import allowance
from engage.domain.rewards.coupon_state import state_at
from engage.domain.rewards.definition import AnyReward
from engage.domain.simulation.account import SimulatedHold
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember


class IssuedCode(Struct):
    """A coupon or an F-code. `hold` is the one that applies it to an order."""

    reward: AnyReward
    code: str
    issued_at: datetime
    expires_at: datetime | None
    hold: SimulatedHold | None = None
    void: bool = False

    def state(self, at: datetime) -> str:
        state = "void" if self.void else "issued"
        if self.hold is not None and self.hold.state != "released":
            state = "applied" if self.hold.state == "open" else "used"
        return state_at(state, self.expires_at, at)


class SimulatedRewards(SimulatedFeature):
    """A member's codes. Nobody else has redeemed anything, so the stock is full at the start."""

    def __init__(self, member: SimulatedMember, rewards: Sequence[AnyReward]) -> None:
        self.codes: list[IssuedCode] = []
        self.priced: Callable[[AnyReward, datetime], AnyReward] = lambda reward, at: reward
        self._member = member
        self._rewards = rewards

    def redeem(self, reward_id: str, at: datetime) -> IssuedCode:
        """Raises Refusal unknown_reward, sold_out, limit_reached, reward_limit_reached or
        insufficient_points.
        """
        member, zone = self._member, self._member.market.zone
        reward = self.priced(allowance.find(self._rewards, reward_id), at)
        issued = [code.issued_at for code in self.codes if code.reward.id == reward_id]
        since = allowance.counts_since(reward, at=at, zone=zone)
        allowance.check(
            reward,
            version=member.terms.version,
            given=sum(since is None or issued_at >= since for issued_at in issued),
            issued=len(issued),
            active=member.account.balance.active,
            at=at,
            zone=zone,
        )
        redemption = member.account.redeem(reward.points, at)
        expires_at = None if reward.valid_for is None else at + reward.valid_for
        code = IssuedCode(reward, str(redemption), at, expires_at)
        self.codes.append(code)
        return code

    def gift(self, reward_id: str) -> AnyReward | None:
        """The reward if it can be given, or None when it is not offered or sold out."""
        issued = sum(code.reward.id == reward_id for code in self.codes)
        return allowance.gift(self._rewards, reward_id, issued=issued)

    def give(self, reward: AnyReward, at: datetime) -> IssuedCode:
        """Give a reward that costs nothing."""
        expires_at = None if reward.valid_for is None else at + reward.valid_for
        code = IssuedCode(reward, str(self._member.account.new_id()), at, expires_at)
        self.codes.append(code)
        return code

    def usable(self, reward_id: str, at: datetime) -> IssuedCode:
        """The first usable code of a reward, or else its first code. Raises Refusal unknown_coupon."""
        codes = [code for code in self.codes if code.reward.id == reward_id]
        if not codes:
            raise Refusal(Code.UNKNOWN_COUPON)
        return next((code for code in codes if code.state(at) == "issued"), codes[0])

    def return_codes(self, hold: SimulatedHold, at: datetime) -> None:
        """Give back the codes of an order that came back whole. An expired one gets the time of grace."""
        for code in self.codes:
            if code.hold is hold:
                code.hold = None
                if code.expires_at is not None and code.expires_at <= at:
                    code.expires_at = at + self._member.grace
