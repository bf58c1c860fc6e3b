"""The outcome of an example's step, and what a step can expect of it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Self
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from engage.domain.calendar import instant
from engage.domain.document.errors import Problem
from engage.domain.document.fields import DocumentStruct
from engage.domain.earning.credit import NewCredit
from engage.domain.feature.section import Context
from engage.domain.refusals import Refusal

NOTHING: Final = "nothing"

# The end of what never ends, where an expectation names an end.
NEVER: Final = datetime.max.replace(tzinfo=UTC)


class Expectation(DocumentStruct, frozen=True):
    """Base of what a step can expect of a feature. The actual result is an instance of the same struct."""

    def problems(self, path: str, context: Context) -> Iterator[Problem]:
        """Validate the expectation before its step is played."""
        return iter(())

    def in_words(self, zone: str) -> str:
        raise NotImplementedError

    def as_detailed_as(self, expected: Self | None) -> Self:
        """This actual result without the details that `expected` leaves open."""
        return self


class Outcome(Struct, frozen=True, kw_only=True):
    """The outcome of a step. `results` are by the field of the step that expects them."""

    credits: list[NewCredit] | None = None
    results: Mapping[str, Expectation] = field(default_factory=dict)
    refusal: Refusal | None = None


def local(at: datetime, zone: str) -> str:
    return at.astimezone(ZoneInfo(zone)).isoformat(sep=" ")


def until(at: datetime | None, zone: str) -> str:
    """` until …`, or nothing where no end is named. A time without an offset is local."""
    if at is None:
        return ""
    return " until never" if at == NEVER else f" until {local(instant(at, zone), zone)}"
