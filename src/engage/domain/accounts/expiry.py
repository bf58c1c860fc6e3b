"""When active points expire: the kinds of expiry that a program document can choose."""

from datetime import time
from typing import Annotated

from msgspec import Meta

from engage.domain.document.fields import DocumentStruct


class Never(DocumentStruct, frozen=True, tag="never"):
    """Points do not expire."""


class Rolling(DocumentStruct, frozen=True, tag="rolling"):
    """So many months after they became active, at the same local time."""

    months: Annotated[int, Meta(ge=1, le=120)]


class Yearly(DocumentStruct, frozen=True, tag="yearly"):
    """At one instant of the year for all points that are older: the first such instant, in the member's zone,
    that is strictly later than `months` after they became active.
    """

    month: Annotated[int, Meta(ge=1, le=12)]
    day: Annotated[int, Meta(ge=1, le=31)]
    at: Annotated[time, Meta(tz=False, description="a local time, such as 12:00:00")]
    months: Annotated[int, Meta(ge=0, le=120)]


class EndOfYear(DocumentStruct, frozen=True, tag="end_of_year"):
    """With the end of the year, in the member's zone, that lies `years_later` after the one they became
    active in.
    """

    years_later: Annotated[int, Meta(ge=0, le=10)]


Expiry = Never | Rolling | Yearly | EndOfYear
