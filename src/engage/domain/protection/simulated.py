"""The places of velocity rules as one simulated member finds them. Other members are numbers."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from engage.domain.earning.credit import NewCredit
from engage.domain.protection.definition import Protection
from engage.domain.protection.example_steps import StepOrigin
from engage.domain.protection.suspicion import Place, Suspicion, held, places, strictest
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember

# A program and a member are alone in their simulation, and so is their suspicion.
_PROGRAM, _MEMBER, _SUSPICION = "", "", UUID(int=0)


class SimulatedProtection(SimulatedFeature):
    """The places that are taken, by rule, source and window. `held_by` are the rules that hold the points of
    what the member has done last.
    """

    def __init__(self, member: SimulatedMember, protection: Protection | None) -> None:
        self.held_by: list[str] = []
        self._member = member
        self._protection = protection
        self._from: StepOrigin | None = None
        self._taken: dict[tuple[str, bytes, str], list[tuple[str, str]]] = {}

    def come_from(self, origin: StepOrigin | None) -> None:
        """Let what follows come from there."""
        self._from, self.held_by = origin, []

    def hold_back(
        self, name: str, activity: str, credits: Sequence[NewCredit], at: datetime
    ) -> Sequence[NewCredit]:
        if self._from is None:
            return credits
        wanted = places(
            self._protection,
            self._from.origin,
            program_id=_PROGRAM,
            member_id=_MEMBER,
            name=name,
            activity=activity,
            at=at,
            zone=self._member.market.zone,
        )
        without = [place for place in wanted if not self._take(place, self._from.others)]
        self.held_by = [place.rule.id for place in without]
        if not without:
            return credits
        suspicion = Suspicion(_SUSPICION, tuple(self.held_by), strictest(without).rule.hold)
        return [held(self._member.terms, credit, suspicion) for credit in credits]

    def _take(self, place: Place, others: int) -> bool:
        """Take a place after those of others; False where there is none left."""
        taken = self._taken.setdefault((place.rule.id, place.source, place.window), [])
        before = [(f"other {n}", "") for n in range(others)]
        for one in [*before, (place.member_id, place.activity)]:
            if one not in taken and len(taken) < place.rule.at_most:
                taken.append(one)
        return (place.member_id, place.activity) in taken
