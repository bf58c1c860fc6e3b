"""Games in a document."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, field

from engage.domain.calendar import instant
from engage.domain.definitions.definition import DefinitionId, Moment, Scheduled
from engage.domain.document.fields import DocumentStruct, Points, RuleId
from engage.domain.document.texts import Texts
from engage.domain.earning.due import USUAL, After, NextDay

MOST_STOCK = 1_000_000

GameWindow = Literal["ever", "day", "week", "month"]

Odds = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]{0,8}/[1-9][0-9]{0,8}(?!\n)$",
        description="a fraction of whole numbers, such as 1/20",
    ),
]


class Chances(DocumentStruct, frozen=True):
    """The plays of one member in each window of their zone.

    With `extra_after` there is one more play in a window, from this time after the last play of it.
    """

    count: Annotated[int, Meta(ge=1, le=1_000)]
    window: GameWindow
    extra_after: Annotated[timedelta | None, Meta(description="a duration (ISO 8601), such as PT15M")] = None


class WinLimit(DocumentStruct, frozen=True):
    """The most prizes of one member in each window of their zone."""

    count: Annotated[int, Meta(ge=1, le=1_000)]
    window: GameWindow


class Prize(DocumentStruct, frozen=True, kw_only=True):
    """Points, or a reward of the catalogue. `per_day` counts plays of the same local day, of all members."""

    id: DefinitionId
    title: Texts
    odds: Odds
    stock: Annotated[int, Meta(ge=1, le=MOST_STOCK)]
    per_day: Annotated[int, Meta(ge=1, le=MOST_STOCK)] | None = None
    points: Points | None = None
    reward: RuleId | None = None


class Game(Scheduled, frozen=True, kw_only=True):
    """An instant win, played from `from` until `until`."""

    from_: Moment = field(name="from")
    until: Moment
    chances: Chances
    prizes: Annotated[list[Prize], Meta(min_length=1, max_length=50)]
    wins_per_member: WinLimit | None = None
    due: After | NextDay = USUAL

    def until_in(self, zone: str) -> datetime:
        """Return the instant at which the game ends in a zone."""
        return instant(self.until, zone)
