"""What the points that members have are to the books, at an instant and over a period. Pure.

A report stands at `at`, which belongs to it, and its period begins with `since`, which belongs to it too. A
bare date means its whole day in UTC: a period ends with the last microsecond of one and begins with the first
of another. So the first report's end and the next one's beginning leave no gap and no overlap.

What members can spend and what holds keep is outstanding: it is owed to them until it is spent or has ended.
Pending points are not yet; they are told beside it, and so is what members owe.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from engage.domain.accounts.account import EntryKind, HouseAccount
from engage.domain.money import Money, apportion
from engage.domain.program import versions
from engage.domain.program.program import Program

BucketName = Literal[
    "ended", "30_days", "31_to_90_days", "91_to_180_days", "181_to_365_days", "later", "never"
]
MovementName = Literal[
    "issued",
    "opening",
    "reinstated",
    "spent",
    "withdrawn",
    "expired",
    "taken_back",
    "recovered",
    "adjusted",
    "transferred",
]

EARLIEST_YEAR: Final = 2000

# When lots end after `at`, in days of 24 hours, by the place of their bucket.
DAYS: Final = (0, 30, 90, 180, 365)
BUCKETS: Final[tuple[BucketName, ...]] = get_args(BucketName)
MOVEMENTS: Final[tuple[MovementName, ...]] = get_args(MovementName)


class NotAPeriod(ValueError):
    """What was asked for is no instant, or is not in the past. `field` is what it was given as."""

    def __init__(self, field: str, said: str) -> None:
        super().__init__(said)
        self.field = field


class Period(Struct, frozen=True):
    """[since, at], both of them included; since ever where `since` is None."""

    since: datetime | None
    at: datetime


class LotSum(Struct, frozen=True):
    """What is left of the lots of one country's members that end in one bucket, by its place in BUCKETS."""

    program_id: str
    country: str
    bucket: int
    active: int
    held: int


class EntrySum(Struct, frozen=True):
    """What entries of one kind did to what is outstanding and to debts, before the period or in it."""

    program_id: str
    country: str
    before: bool
    kind: EntryKind
    house_account: HouseAccount | None
    points: int
    debt: int


class PendingSum(Struct, frozen=True):
    program_id: str
    country: str
    points: int


class Sums(Struct, frozen=True, kw_only=True):
    """What the ledger says: `lots_before` is of just before the period, empty where it has no beginning."""

    lots: Sequence[LotSum]
    lots_before: Sequence[LotSum]
    entries: Sequence[EntrySum]
    pending: Sequence[PendingSum]


class Ending(Struct, frozen=True):
    """Outstanding points that end later than `after` and no later than `until`.

    `ended`: their time has come, and the sweep has not; `never`: they have no end.
    """

    bucket: BucketName
    after: datetime | None
    until: datetime | None
    points: int
    worth: Money | None


class Movement(Struct, frozen=True):
    """What one kind of movement added to what is outstanding, and to what members owe, in the period.

    `issued`: points that became active. `opening`: balances that were imported. `reinstated`: spent points of
    orders that came back. `spent`: at checkout and for rewards. `withdrawn`: as money. `expired`: breakage;
    what a member who is erased leaves behind is too. `taken_back`: earned points of what was undone; those
    that were spent already became a debt. `recovered`: of new points, what paid a debt. `adjusted`: by
    operators. `transferred`: between members, so it is zero unless they are of different currencies.
    """

    kind: MovementName
    points: int
    debt: int
    worth: Money | None


class Liability(Struct, frozen=True, kw_only=True):
    """Of the members of a program whose countries have one currency.

    `worth` is what the versions in force at the report's instant say, null where one of them says nothing.
    `outstanding` is what remains in members' lots; `before` is the same just before the period. `reconciled`:
    `before` and the period's movements, which are the entries', come to it, and to what members owe.
    """

    program: str
    currency: str
    outstanding: int
    worth: Money | None
    active: int
    held: int
    pending: int
    debt: int
    expiring: list[Ending]
    before: int
    worth_before: Money | None
    debt_before: int
    movements: list[Movement]
    reconciled: bool


class LiabilityReport(Struct, frozen=True, kw_only=True, rename={"since": "from"}):
    """Points that members have, at an instant, and what became of them in the period that ends with it.

    Both ends belong to the period; `from` is null where it goes back to the beginning.
    """

    at: datetime
    since: datetime | None
    items: list[Liability]


def period(at: str | None, since: str | None, *, now: datetime) -> Period:
    """Of what was asked for in words: instants in RFC 3339, or dates. Without `at` it is now.

    Raises NotAPeriod, with field `at` or `from`.
    """
    until = now if at is None else instant(at, "at", end=True)
    if until > now:
        raise NotAPeriod("at", f"{until:%Y-%m-%dT%H:%M:%SZ} is in the future: it is {now:%Y-%m-%dT%H:%M:%SZ}")
    begin = None if since is None else instant(since, "from", end=False)
    if begin is not None and begin > until:
        raise NotAPeriod("from", "later than the report's instant")
    return Period(begin, until)


def instant(said: str, field: str, *, end: bool) -> datetime:
    """In UTC. A date is the last microsecond of its day in UTC, or the first. Raises NotAPeriod."""
    try:
        if len(said) == len("2026-12-31"):
            day = msgspec.convert(said, date)
            at = datetime.combine(day, time.max if end else time.min, UTC)
        else:
            at = msgspec.convert(said, Annotated[datetime, Meta(tz=True)]).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise NotAPeriod(field, "neither a date nor a time, as 2026-12-31 or 2026-12-31T18:00:00Z") from None
    if at.year < EARLIEST_YEAR:
        raise NotAPeriod(field, f"before {EARLIEST_YEAR}")
    return at


def bounds(at: datetime) -> list[tuple[datetime | None, datetime | None]]:
    """(after, until) of each bucket; the last one is for lots without an end."""
    edges = [at + timedelta(days=days) for days in DAYS]
    return [*zip([None, *edges], [*edges, None], strict=True), (None, None)]


def report(sums: Sums, published: dict[str, list[Program]], of: Period) -> LiabilityReport:
    """`published` are the versions of each program, the oldest first."""
    groups: dict[tuple[str, str], _Group] = {}
    for program_id, country in sorted(_places(sums)):
        currency, rate = _market(published[program_id], of.at, country)
        group = groups.setdefault((program_id, currency), _Group(program_id, currency, {}))
        group.rates[country] = rate
    return LiabilityReport(
        at=of.at,
        since=of.since,
        items=[_liability(group, sums, of.at) for _, group in sorted(groups.items())],
    )


class _Group(Struct, frozen=True):
    """The countries of a program that share a currency, and how much a point is worth in each."""

    program_id: str
    currency: str
    rates: dict[str, Fraction | None]

    def has(self, row: LotSum | EntrySum | PendingSum) -> bool:
        return row.program_id == self.program_id and row.country in self.rates

    def money(self, lines: Sequence[Sequence[tuple[str, int]]]) -> list[Money | None]:
        """What lines of (country, points) are worth; their sum is rounded once."""
        if any(points and self.rates[country] is None for line in lines for country, points in line):
            return [None] * len(lines)
        exact = [
            sum((points * (self.rates[country] or Fraction(0)) for country, points in line), Fraction(0))
            for line in lines
        ]
        priced = any(rate is not None for rate in self.rates.values())
        return [Money(amount, self.currency) if priced else None for amount in apportion(exact)]


def _places(sums: Sums) -> set[tuple[str, str]]:
    rows: Iterable[LotSum | EntrySum | PendingSum] = (*sums.lots, *sums.entries, *sums.pending)
    return {(row.program_id, row.country) for row in rows}


def _market(published: Sequence[Program], at: datetime, country: str) -> tuple[str, Fraction | None]:
    """(currency, what a point is worth in minor units) by the version in force; a program that had not begun
    there yet has its first version's currency.
    """
    program = versions.in_force(published, at, country)
    if program is None:
        first = next(version for version in published if country in version.countries)
        return first.countries[country].currency, None
    worth = program.worth
    rate = None if worth is None else Fraction(worth.minor, worth.points)
    return program.countries[country].currency, rate


def _liability(group: _Group, sums: Sums, at: datetime) -> Liability:
    lots = [row for row in sums.lots if group.has(row)]
    entries = [row for row in sums.entries if group.has(row)]
    lots_before = [row for row in sums.lots_before if group.has(row)]
    active, held = sum(row.active for row in lots), sum(row.held for row in lots)
    before = sum(row.active + row.held for row in lots_before)
    debt_before = sum(row.debt for row in entries if row.before)
    debt = sum(row.debt for row in entries)
    expiring = _expiring(group, lots, at)
    worth_before, movements = _movements(group, lots_before, [row for row in entries if not row.before])
    (worth,) = group.money([[(row.country, row.active + row.held) for row in lots]])
    return Liability(
        program=group.program_id,
        currency=group.currency,
        outstanding=active + held,
        worth=worth,
        active=active,
        held=held,
        pending=sum(row.points for row in sums.pending if group.has(row)),
        debt=debt,
        expiring=expiring,
        before=before,
        worth_before=worth_before,
        debt_before=debt_before,
        movements=movements,
        reconciled=before + sum(line.points for line in movements) == active + held
        and before == sum(row.points for row in entries if row.before)
        and debt_before + sum(line.debt for line in movements) == debt,
    )


def _expiring(group: _Group, lots: Sequence[LotSum], at: datetime) -> list[Ending]:
    lines = [
        [(row.country, row.active + row.held) for row in lots if row.bucket == place]
        for place in range(len(BUCKETS))
    ]
    return [
        Ending(name, after, until, _points(line), worth)
        for name, (after, until), line, worth in zip(
            BUCKETS, bounds(at), lines, group.money(lines), strict=True
        )
    ]


def _movements(
    group: _Group, lots_before: Sequence[LotSum], entries: Sequence[EntrySum]
) -> tuple[Money | None, list[Movement]]:
    """(what was outstanding before, by the rates of the report's instant; what moved it since)"""
    before = [(row.country, row.active + row.held) for row in lots_before]
    of_kind = [[row for row in entries if movement_of(row) == name] for name in MOVEMENTS]
    lines = [[(row.country, row.points) for row in rows] for rows in of_kind]
    worth_before, *worths = group.money([before, *lines])
    return worth_before, [
        Movement(name, _points(line), sum(row.debt for row in rows), worth)
        for name, line, rows, worth in zip(MOVEMENTS, lines, of_kind, worths, strict=True)
    ]


def _points(line: Sequence[tuple[str, int]]) -> int:
    return sum(points for _, points in line)


def movement_of(row: EntrySum) -> MovementName | None:
    """None for what only moves points between a member's own accounts."""
    match row.kind:
        case "earning":
            return "issued"
        case "opening":
            return "opening"
        case "reinstatement":
            return "reinstated"
        case "capture" | "redemption":
            return "withdrawn" if row.house_account == "withdrawn" else "spent"
        case "expiration":
            return "expired"
        case "clawback":
            return "taken_back"
        case "recovery":
            return "recovered"
        case "adjustment":
            return "expired" if row.house_account == "expired" else "adjusted"
        case "transfer":
            return "transferred"
        case "hold" | "release":
            return None
