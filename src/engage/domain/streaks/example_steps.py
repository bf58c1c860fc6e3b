"""Steps of examples about streaks, and what a step can expect of one."""

from datetime import datetime
from typing import Annotated, Self

from msgspec import Meta

from engage.domain.document.fields import DocumentStruct
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import Outcome
from engage.domain.simulation.member import SimulatedMember

Days = Annotated[int, Meta(ge=0, le=100_000)]


class BuyFreeze(Action, frozen=True, tag="buy_freeze"):
    """The member buys a freeze for their streak."""

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.buy_freeze(at)
        return Outcome()


class ExpectedStreak(DocumentStruct, frozen=True):
    """The streak of the home screen. A field that is left out may be anything. `lost`: the days of a run that
    has ended; 0 for none.
    """

    days: Days | None = None
    freezes: Days | None = None
    best: Days | None = None
    lost: Days | None = None

    def in_words(self) -> str:
        words = []
        if self.days is not None:
            words.append(f"{self.days} days in a row")
        if self.freezes is not None:
            words.append(f"{self.freezes} freezes")
        if self.best is not None:
            words.append(f"{self.best} at best")
        if self.lost is not None:
            words.append(f"{self.lost} lost")
        return ", ".join(words) or "any streak"

    def as_detailed_as(self, expected: Self) -> Self:
        """This actual streak without the fields that `expected` leaves open."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return type(self)(
            **{name: value for name, value in fields.items() if getattr(expected, name) is not None}
        )


def actual_streak(member: SimulatedMember) -> ExpectedStreak:
    """The streak of a simulated member now; none of it where the program has no streak."""
    shown, lost = member.streak_view()
    return ExpectedStreak(
        days=shown.days, freezes=shown.freezes, best=shown.best, lost=0 if lost is None else lost.days
    )
