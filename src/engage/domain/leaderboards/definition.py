"""Leaderboards in a document."""

from typing import Annotated, Final, Literal

from msgspec import Meta, field

from engage.domain.definitions.definition import Scheduled
from engage.domain.document.fields import DocumentStruct, Points
from engage.domain.earning.due import USUAL, After, NextDay

POINTS_EARNED: Final = "points_earned"
LAST_RANK: Final = 10_000

Score = Annotated[
    str,
    Meta(
        pattern=r"^(points_earned|(quiz|challenge):[A-Za-z0-9][A-Za-z0-9_-]{0,47})(?!\n)$",
        description="points_earned, quiz:<id> or challenge:<id>",
    ),
]


class BoardPrize(DocumentStruct, frozen=True):
    """Points for the ranks up to `to_rank` that no earlier prize of the list is for."""

    to_rank: Annotated[int, Meta(ge=1, le=LAST_RANK)]
    points: Points


class Leaderboard(Scheduled, frozen=True, kw_only=True):
    """Members by a score, which begins again with each calendar week or month of their zone."""

    score: Score
    resets: Literal["weekly", "monthly"] | None = None
    prizes: Annotated[list[BoardPrize], Meta(max_length=50)] = field(default_factory=list)
    min_members: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    due: After | NextDay = USUAL

    def points_for(self, rank: int) -> int | None:
        return next((prize.points for prize in self.prizes if rank <= prize.to_rank), None)

    @property
    def last_rank(self) -> int:
        """The last rank that has a prize; 0 without prizes."""
        return max((prize.to_rank for prize in self.prizes), default=0)
