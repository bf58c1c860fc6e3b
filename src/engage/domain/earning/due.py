"""Due times: the kinds of delay until points become active."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta

from engage.domain import calendar
from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem
from engage.domain.document.fields import DocumentStruct
from engage.domain.earning.on import On

LONGEST_DELAY: Final = timedelta(days=366)
SHORTEST_WAIT: Final = timedelta(minutes=1)

# Activities that the shop confirms, with review.published and share.confirmed.
CONFIRMED: Final = frozenset({"review", "share"})


class DueKind(DocumentStruct, frozen=True):
    """Base of the due times."""

    def due_at(self, at: datetime, zone: str) -> datetime | None:
        """The due time of a credit for an activity at `at`; None where it is not known yet."""
        raise NotImplementedError

    def lapses_at(self, at: datetime) -> datetime | None:
        """The time at which a credit for an activity at `at` is lost if it has no due time by then."""
        return None

    def longest(self) -> timedelta | None:
        """The longest wait for the points; None where it depends on a delivery or on the calendar."""
        return None

    def problems(self, on: On, path: str) -> Iterator[Problem]:
        """Validate the due time of a rule about `on`. `path` is the rule's."""
        return iter(())


class After(DueKind, frozen=True, tag="after"):
    """A fixed time after the activity."""

    delay: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as PT5M, PT24H or P1D")]

    def due_at(self, at: datetime, zone: str) -> datetime:
        return at + self.delay

    def longest(self) -> timedelta:
        return self.delay

    def problems(self, on: On, path: str) -> Iterator[Problem]:
        yield from duration_problems(f"{path}.due.delay", self.delay, timedelta(), LONGEST_DELAY)


class OnDelivery(DueKind, frozen=True, tag="on_delivery"):
    """At the delivery of the order. Until then the due time is unknown."""

    def due_at(self, at: datetime, zone: str) -> None:
        return None

    def problems(self, on: On, path: str) -> Iterator[Problem]:
        if on.activity != "order":
            expected = f"after or next_day: a {on.activity} is not delivered"
            yield Problem(f"{path}.due.type", expected, '"on_delivery"')


class OnConfirmation(DueKind, frozen=True, tag="on_confirmation"):
    """At the shop's confirmation of the activity, or `delay` after that. Without its word the credit lapses
    `within` this time of the activity.
    """

    within: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as P7D")]
    delay: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as PT5M, PT24H or P1D")] = (
        timedelta()
    )

    def due_at(self, at: datetime, zone: str) -> None:
        return None

    def lapses_at(self, at: datetime) -> datetime:
        return at + self.within

    def longest(self) -> timedelta:
        return self.within + self.delay

    def problems(self, on: On, path: str) -> Iterator[Problem]:
        if on.activity not in CONFIRMED:
            expected = f"after or next_day: no event confirms a {on.activity}"
            yield Problem(f"{path}.due.type", expected, '"on_confirmation"')
        yield from duration_problems(f"{path}.due.within", self.within, SHORTEST_WAIT, LONGEST_DELAY)
        yield from duration_problems(f"{path}.due.delay", self.delay, timedelta(), LONGEST_DELAY)


class NextDay(DueKind, frozen=True, tag="next_day"):
    """At the start of the next day in the member's zone."""

    def due_at(self, at: datetime, zone: str) -> datetime:
        return calendar.next_day(at, zone)


Due = After | OnDelivery | OnConfirmation | NextDay

# Where a document says nothing.
USUAL: Final = After(delay=timedelta(minutes=5))
