"""The tiers of a simulated member: the specification of levels and of what they boost."""

from collections.abc import Sequence
from datetime import datetime

from engage.domain.activity import Order
from engage.domain.earning.boost import Boost
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.unit import POINTS, STATUS, Unit
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember
from engage.domain.tiers.definition import Level, Metric, TierGroup
from engage.domain.tiers.fold import TierStanding, level_at, standing
from engage.domain.tiers.movement import Cause, Movement, order_movements

_UNITS: dict[Metric, Unit] = {"points_earned": POINTS, "status": STATUS}


class SimulatedTiers(SimulatedFeature):
    def __init__(self, member: SimulatedMember, groups: Sequence[TierGroup]) -> None:
        self._member = member
        self.groups = groups
        self.given: frozenset[str] | None = None  # Levels that do not follow from what the member does.

    def boosts(self, credits: Sequence[NewCredit], at: datetime, order: Order | None = None) -> list[Boost]:
        found = [group.boost(self._level(group, at)) for group in self.groups if group.multiplies]
        return [boost for boost in found if boost is not None]

    def levels(self, at: datetime) -> frozenset[str]:
        """The ids of the levels at `at`, one of each group at most."""
        found = (self._level(group, at) for group in self.groups)
        return frozenset(level.id for level in found if level is not None)

    def standing(self, group: TierGroup, at: datetime) -> TierStanding:
        return standing(group, self._movements(group.metric), at=at, zone=self._member.market.zone)

    def _level(self, group: TierGroup, at: datetime) -> Level | None:
        if self.given is not None:
            return next((level for level in group.levels if level.id in self.given), None)
        return level_at(group, self._movements(group.metric), at=at, zone=self._member.market.zone)

    def _movements(self, metric: Metric) -> list[Movement]:
        if metric == "spend_minor":
            orders = self._member.orders.items()
            return [movement for order in orders for movement in order_movements(*order)]
        movements = []
        for credit in self._member.account.credits.values():
            new = credit.new
            if new.unit != _UNITS[metric]:
                continue
            cause = Cause("credit", new.source_key, new.rule_id)
            movements.append(Movement(new.activity_at, new.activity_at, new.points, cause))
            movements += [Movement(at, new.activity_at, -points, cause) for at, points in credit.losses]
        return movements
