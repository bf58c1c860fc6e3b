"""The kinds of expiry that a program document can choose."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Annotated, Final

from msgspec import Meta

from engage.domain import calendar
from engage.domain.document.errors import Problem
from engage.domain.document.fields import DocumentStruct

A_COMMON_YEAR: Final = 2001


class ExpiryKind(DocumentStruct, frozen=True):
    """Base of the kinds of expiry."""

    def expires_at(self, active_at: datetime, zone: str) -> datetime | None:
        """The end of points that become active at `active_at`; None is never.

        `active_at` is the due time, not the time of the settlement, so that a member's dates do not depend on
        the system's load.
        """
        raise NotImplementedError

    def problems(self, path: str) -> Iterator[Problem]:
        return iter(())


class Never(ExpiryKind, frozen=True, tag="never"):
    """Points do not expire."""

    def expires_at(self, active_at: datetime, zone: str) -> None:
        return None


class Rolling(ExpiryKind, frozen=True, tag="rolling"):
    """So many months after they became active, at the same local time."""

    months: Annotated[int, Meta(ge=1, le=120)]

    def expires_at(self, active_at: datetime, zone: str) -> datetime:
        return calendar.months_later(active_at, self.months, zone)


class Yearly(ExpiryKind, frozen=True, tag="yearly"):
    """At one instant of the year for all points that are older: the first such instant, in the member's zone,
    that is strictly later than `months` after they became active.
    """

    month: Annotated[int, Meta(ge=1, le=12)]
    day: Annotated[int, Meta(ge=1, le=31)]
    at: Annotated[time, Meta(tz=False, description="a local time, such as 12:00:00")]
    months: Annotated[int, Meta(ge=0, le=120)]

    def expires_at(self, active_at: datetime, zone: str) -> datetime:
        return calendar.yearly_after(
            active_at, months=self.months, month=self.month, day=self.day, local=self.at, zone=zone
        )

    def problems(self, path: str) -> Iterator[Problem]:
        if (date(A_COMMON_YEAR, self.month, 1) + timedelta(days=self.day - 1)).month != self.month:
            yield Problem(f"{path}.day", f"a day that month {self.month} has every year", str(self.day))


class EndOfYear(ExpiryKind, frozen=True, tag="end_of_year"):
    """With the end of the year, in the member's zone, that lies `years_later` after the one they became
    active in.
    """

    years_later: Annotated[int, Meta(ge=0, le=10)]

    def expires_at(self, active_at: datetime, zone: str) -> datetime:
        return calendar.end_of_year(active_at, years_later=self.years_later, zone=zone)


Expiry = Never | Rolling | Yearly | EndOfYear
