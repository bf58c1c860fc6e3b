"""The withdrawals of a simulated member."""

from datetime import datetime

from engage.domain.calendar import window
from engage.domain.document.worth import Worth
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember
from engage.domain.withdrawals import checks
from engage.domain.withdrawals.definition import Method, WithdrawalTerms


class SimulatedWithdrawals(SimulatedFeature):
    def __init__(self, member: SimulatedMember, terms: WithdrawalTerms | None, worth: Worth | None) -> None:
        self._member = member
        self._terms = terms
        self._worth = worth
        self._by_day: dict[str, checks.DayTotals] = {}

    def request(self, points: int, method: Method, at: datetime) -> None:
        """Hold the points. The outcome of the payout is not simulated. Raises Refusal."""
        terms = checks.check_offered(self._terms, method)
        assert self._worth is not None, "validation requires it"
        checks.worth_minor(self._worth, points)
        account = self._member.account
        checks.check_balance(terms, points, active=account.balance.active)
        day = window("day", at, self._member.market.zone)
        today = self._by_day.get(day.label, checks.DayTotals(0, 0))
        checks.check_daily_limits(terms, points, today, resets_at=day.end)
        self._by_day[day.label] = checks.DayTotals(today.points + points, today.count + 1)
        account.hold(points, at)
