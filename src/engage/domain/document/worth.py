"""The money value of points."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from engage.domain.document.errors import Problem
from engage.domain.document.fields import DocumentStruct, Points


class Worth(DocumentStruct, frozen=True):
    """`points` are worth `minor` minor units of the member's currency."""

    points: Points
    minor: Annotated[int, Meta(ge=1, le=1_000_000_000)]


def worth_problems(worth: Worth | None) -> Iterator[Problem]:
    """Require a whole ratio. Any other leaves a fraction of a minor unit, or of a point, in many orders."""
    if worth is not None and worth.minor % worth.points and worth.points % worth.minor:
        expected = "a whole number of minor units for a point, or of points for a minor unit"
        yield Problem("worth", expected, f"{worth.minor} minor units for {worth.points} points")


def missing_worth(worth: Worth | None, section: str) -> Iterator[Problem]:
    """The problem of a section that turns points into money in a document without their worth."""
    if worth is None:
        yield Problem("worth", f"the worth of points, because there is [{section}]", "nothing")
