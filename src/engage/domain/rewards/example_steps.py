"""Steps of examples about rewards, and what they expect."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar, Self

from msgspec import Meta
from msgspec.structs import replace

from engage.domain.activity import Identifier
from engage.domain.document.errors import Problem
from engage.domain.document.fields import RuleId
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import NEVER, Expectation, Outcome, until
from engage.domain.feature.section import Context
from engage.domain.refusals import Code
from engage.domain.rewards.definition import FCodeReward
from engage.domain.rewards.simulated import IssuedCode, SimulatedRewards
from engage.domain.rewards.validation import unknown_reward
from engage.domain.simulation.member import SimulatedMember


class ExpectedCode(Expectation, frozen=True):
    """The code that a reward gives: a coupon's value, or the product of an F-code."""

    value_minor: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None
    product_id: Identifier | None = None
    expires_at: datetime | None = None

    def in_words(self, zone: str) -> str:
        right = f"a coupon of {self.value_minor}" if self.product_id is None else f"for {self.product_id}"
        return right + until(self.expires_at, zone)

    def as_detailed_as(self, expected: Self | None) -> Self:
        return self if expected and expected.expires_at else replace(self, expires_at=None)


class Redeem(Action, frozen=True, tag="redeem"):
    """The member exchanges points for a reward."""

    results: ClassVar = frozenset({"gives"})

    reward_id: RuleId

    def problems(self, path: str, context: Context, *, refused: Code | None) -> Iterator[Problem]:
        if refused != Code.UNKNOWN_REWARD:
            yield from unknown_reward(self.reward_id, f"{path}.reward_id", context.ids["rewards"])

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        code = member.feature(SimulatedRewards).redeem(self.reward_id, at)
        return Outcome(results={"gives": _result(code)})


def _result(code: IssuedCode) -> ExpectedCode:
    expires_at = code.expires_at or NEVER
    if isinstance(code.reward, FCodeReward):
        return ExpectedCode(product_id=code.reward.product_id, expires_at=expires_at)
    return ExpectedCode(value_minor=code.reward.value_minor, expires_at=expires_at)
