"""Steps of examples about withdrawals."""

from datetime import datetime

from engage.domain.document.fields import Points
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import Outcome
from engage.domain.simulation.member import SimulatedMember
from engage.domain.withdrawals.definition import Method
from engage.domain.withdrawals.simulated import SimulatedWithdrawals


class Withdraw(Action, frozen=True, tag="withdraw"):
    """The member withdraws points as money."""

    points: Points
    method: Method

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.feature(SimulatedWithdrawals).request(self.points, self.method, at)
        return Outcome()
