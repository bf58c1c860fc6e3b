"""The terms of freezes: how many a member begins with, can have, earns, and at what price more are sold."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from engage.domain.document.errors import Problem
from engage.domain.document.fields import DocumentStruct, Points

# The gate keeps the freezes of a member in one byte.
MOST_FREEZES = 99


class FreezeTerms(DocumentStruct, frozen=True):
    """A freeze covers one missed day of a streak by itself.

    `start`: those that a member begins with; who has a streak already gets them when the version comes into
    force. `earn_every_days`: one more on each n-th day of a run. `price_points`: what one costs; without it
    none are sold. Nothing lifts a member above `max`.
    """

    start: Annotated[int, Meta(ge=0, le=MOST_FREEZES)]
    max: Annotated[int, Meta(ge=1, le=MOST_FREEZES)]
    earn_every_days: Annotated[int, Meta(ge=1, le=366)] | None = None
    price_points: Points | None = None

    @property
    def numbers(self) -> tuple[int, int, int]:
        """The terms as the gate has them: start, max, and every how many days one is earned, 0 for never."""
        return self.start, self.max, self.earn_every_days or 0

    def problems(self, path: str) -> Iterator[Problem]:
        if self.start > self.max:
            yield Problem(f"{path}.start", f"at most the max of {self.max}", str(self.start))
        if self.start == 0 and self.earn_every_days is None and self.price_points is None:
            yield Problem(path, "a way to get one: start, earn_every_days or price_points", "none")
