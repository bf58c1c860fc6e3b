"""Computing a liability report from the ledger's sums. Pure."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fractions import Fraction

from msgspec import Struct

from engage.domain.accounts.liability import (
    BUCKETS,
    MOVEMENTS,
    EntrySum,
    ExpirySum,
    Liability,
    LiabilityReport,
    LotSum,
    MovedSum,
    MovementSum,
    OutstandingSum,
    PendingSum,
    PointRate,
    Sums,
    bounds,
    movement_of,
)
from engage.domain.accounts.period import Period
from engage.domain.money import Money, apportion


def compute(sums: Sums, rate_of: Callable[[str, str], PointRate], period: Period) -> LiabilityReport:
    """One item for each program and currency. `rate_of` takes a program's id and a country."""
    groups: dict[tuple[str, str], _Group] = {}
    for program_id, country in sorted(_countries(sums)):
        rate = rate_of(program_id, country)
        group = groups.setdefault((program_id, rate.currency), _Group(program_id, rate.currency, {}))
        group.rates[country] = rate.minor
    items = [_liability(group, sums, period.at) for _, group in sorted(groups.items())]
    return LiabilityReport(at=period.at, since=period.since, items=items)


class _Group(Struct, frozen=True):
    """The countries of a program that share a currency, with a point's worth in each."""

    program_id: str
    currency: str
    rates: dict[str, Fraction | None]

    def has(self, row: LotSum | OutstandingSum | MovedSum | EntrySum | PendingSum) -> bool:
        return row.program_id == self.program_id and row.country in self.rates

    def money(self, lines: Sequence[Sequence[tuple[str, int]]]) -> list[Money | None]:
        """The worth of each line of (country, points); only their sum is rounded."""
        if any(points and self.rates[country] is None for line in lines for country, points in line):
            return [None] * len(lines)
        exact = [
            sum((points * (self.rates[country] or Fraction(0)) for country, points in line), Fraction(0))
            for line in lines
        ]
        priced = any(rate is not None for rate in self.rates.values())
        return [Money(amount, self.currency) if priced else None for amount in apportion(exact)]


def _countries(sums: Sums) -> set[tuple[str, str]]:
    rows: Iterable[LotSum | EntrySum | PendingSum] = (*sums.lots, *sums.entries, *sums.pending)
    return {(row.program_id, row.country) for row in rows}


def _liability(group: _Group, sums: Sums, at: datetime) -> Liability:
    lots = [row for row in sums.lots if group.has(row)]
    entries = [row for row in sums.entries if group.has(row)]
    outstanding_before = [row for row in sums.outstanding_before if group.has(row)]
    moved = [row for row in sums.moved if group.has(row)]
    active, held = sum(row.active for row in lots), sum(row.held for row in lots)
    before = sum(row.points for row in outstanding_before)
    debt_before = sum(row.debt for row in entries if row.before)
    debt = sum(row.debt for row in entries)
    worth_before, movements = _movements(
        group, outstanding_before, [row for row in entries if not row.before]
    )
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
        expiring=_expiring(group, lots, at),
        before=before,
        worth_before=worth_before,
        debt_before=debt_before,
        movements=movements,
        reconciled=before + sum(line.points for line in movements) == active + held
        and before == sum(row.points for row in entries if row.before)
        and before == sum(row.points for row in moved if row.before)
        and active + held == sum(row.points for row in moved)
        and debt_before + sum(line.debt for line in movements) == debt,
    )


def _expiring(group: _Group, lots: Sequence[LotSum], at: datetime) -> list[ExpirySum]:
    lines = [
        [(row.country, row.active + row.held) for row in lots if row.bucket == bucket]
        for bucket in range(len(BUCKETS))
    ]
    return [
        ExpirySum(name, after, until, _points(line), worth)
        for name, (after, until), line, worth in zip(
            BUCKETS, bounds(at), lines, group.money(lines), strict=True
        )
    ]


def _movements(
    group: _Group, outstanding_before: Sequence[OutstandingSum], entries: Sequence[EntrySum]
) -> tuple[Money | None, list[MovementSum]]:
    """(worth of what was outstanding before, at the rates of the report's instant; movements since)"""
    before = [(row.country, row.points) for row in outstanding_before]
    by_kind = [[row for row in entries if movement_of(row) == name] for name in MOVEMENTS]
    lines = [[(row.country, row.points) for row in rows] for rows in by_kind]
    worth_before, *worths = group.money([before, *lines])
    return worth_before, [
        MovementSum(name, _points(line), sum(row.debt for row in rows), worth)
        for name, line, rows, worth in zip(MOVEMENTS, lines, by_kind, worths, strict=True)
    ]


def _points(line: Sequence[tuple[str, int]]) -> int:
    return sum(points for _, points in line)
