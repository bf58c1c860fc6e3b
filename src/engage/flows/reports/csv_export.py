"""The liability report as CSV for spreadsheets: one row a figure, with everything that identifies it."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from engage.domain.accounts.liability import Liability, LiabilityReport
from engage.domain.money import Money, plain

HEADER: Final = (
    "program",
    "currency",
    "from",
    "at",
    "part",
    "item",
    "ends_after",
    "ends_until",
    "points",
    "debt",
    "worth",
)

Cells = tuple[object, ...]  # The columns from `part` on.


def as_csv(report: LiabilityReport) -> str:
    """Write CSV as in RFC 4180. `worth` is in major units of the currency; unknown values are empty."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(HEADER)
    for item in report.items:
        for cells in _rows(item):
            writer.writerow((item.program, item.currency, _time(report.since), _time(report.at), *cells))
    return out.getvalue()


def _rows(item: Liability) -> Iterator[Cells]:
    for ending in item.expiring:
        times = _time(ending.after), _time(ending.until)
        yield "expiring", ending.bucket, *times, ending.points, None, _worth(ending.worth)
    yield "outstanding", "active", None, None, item.active, None, None
    yield "outstanding", "held", None, None, item.held, None, None
    yield "outstanding", "all", None, None, item.outstanding, None, _worth(item.worth)
    yield "beside", "pending", None, None, item.pending, None, None
    yield "beside", "debt", None, None, None, item.debt, None
    yield "period", "before", None, None, item.before, item.debt_before, _worth(item.worth_before)
    for line in item.movements:
        yield "period", line.kind, None, None, line.points, line.debt, _worth(line.worth)
    yield "period", "after", None, None, item.outstanding, item.debt, _worth(item.worth)


def _time(at: datetime | None) -> object:
    return None if at is None else msgspec.to_builtins(at)


def _worth(worth: Money | None) -> str | None:
    return None if worth is None else plain(worth)
