"""When active points expire: the kinds of expiry that a program document can choose."""

from datetime import datetime, time
from typing import Annotated

from msgspec import Meta

from engage.domain import calendar
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


def expires_at(expiry: Expiry, active_at: datetime, zone: str) -> datetime | None:
    """The end of points that become active at `active_at`; None is never.

    It follows from the due time, not from the time of the settlement, so that a member's dates do not depend
    on the system's load.
    """
    match expiry:
        case Never():
            return None
        case Rolling(months=months):
            return calendar.months_later(active_at, months, zone)
        case Yearly(month=month, day=day, at=local, months=months):
            return calendar.yearly_after(
                active_at, months=months, month=month, day=day, local=local, zone=zone
            )
        case EndOfYear(years_later=years):
            return calendar.end_of_year(active_at, years_later=years, zone=zone)
