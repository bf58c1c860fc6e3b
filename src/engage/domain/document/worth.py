"""The money value of points."""

from typing import Annotated

from msgspec import Meta

from engage.domain.document.fields import DocumentStruct, Points


class Worth(DocumentStruct, frozen=True):
    """So many points are worth so much money of the member's country."""

    points: Points
    minor: Annotated[int, Meta(ge=1, le=1_000_000_000)]  # Minor units.
