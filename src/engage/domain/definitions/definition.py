"""The base of definitions, and the times between which one is open."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, field

from engage.domain.calendar import happens, instant
from engage.domain.document.errors import Problem
from engage.domain.document.fields import DocumentStruct, ProgramId
from engage.domain.document.texts import Texts

DefinitionId = Annotated[
    str,
    Meta(
        max_length=48,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(?!\n)$",
        description="a name of letters, digits, _ and -, at most 48, such as spring-quiz",
    ),
]

Moment = Annotated[
    datetime,
    Meta(description="a time: with an offset an instant, without one local time of each member"),
]

BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)

EARLIEST_YEAR, LATEST_YEAR = 2000, 2099


class Definition(DocumentStruct, frozen=True, kw_only=True):
    """`program` is named where a definition stands alone, not inside a program's document."""

    id: DefinitionId
    program: ProgramId | None = None
    title: Texts


class Scheduled(Definition, frozen=True, kw_only=True):
    """A definition that is open from a time, until a time (exclusive), or always."""

    from_: Moment | None = field(name="from", default=None)
    until: Moment | None = None

    def begins_at(self, zone: str) -> datetime:
        return BEGINNING if self.from_ is None else instant(self.from_, zone)

    def ends_at(self, zone: str) -> datetime | None:
        return None if self.until is None else instant(self.until, zone)

    def is_open(self, at: datetime, zone: str) -> bool:
        """Tell whether it is open at an instant for a member of that zone."""
        return self.begins_at(zone) <= at < (self.ends_at(zone) or END)

    def schedule_problems(self, path: str) -> Iterator[Problem]:
        yield from order_problems(path, ("from", self.from_), ("until", self.until))


def first_instant(moment: datetime, zones: Iterable[str]) -> datetime:
    """The first instant at which a moment has come for some member."""
    return min(instant(moment, zone) for zone in zones)


def last_instant(moment: datetime, zones: Iterable[str]) -> datetime:
    """The instant at which a moment has come for every member."""
    return max(instant(moment, zone) for zone in zones)


def moment_problems(path: str, moment: datetime | None, zones: Iterable[str] = ()) -> Iterator[Problem]:
    """The problem of a time that is out of range, or that does not exist in one of the zones."""
    if moment is None:
        return
    if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        yield Problem(path, f"a year from {EARLIEST_YEAR} to {LATEST_YEAR}", moment.isoformat())
    elif moment.tzinfo is None:
        for zone in sorted({zone for zone in zones if not happens(moment, zone)}):
            yield Problem(path, f"a local time of {zone}", f"{moment.isoformat()}, which its clocks skip")


def order_problems(
    path: str, first: tuple[str, datetime | None], second: tuple[str, datetime | None]
) -> Iterator[Problem]:
    """The problem of two named times of which the second does not come after the first."""
    (earlier, start), (later, end) = first, second
    yield from moment_problems(f"{path}.{earlier}", start)
    yield from moment_problems(f"{path}.{later}", end)
    if start is None or end is None:
        return
    # A local time beside an instant: they may come in this order in some zones.
    comparable = (start.tzinfo is None) == (end.tzinfo is None)
    if comparable and end <= start:
        yield Problem(f"{path}.{later}", f"a time after {earlier} ({start.isoformat()})", end.isoformat())
