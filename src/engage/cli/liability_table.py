"""The liability report as tables on a terminal, and as plain columns in a pipe."""

from datetime import datetime, time

from rich import box
from rich.console import Console
from rich.table import Column, Table

from engage.domain.accounts.liability import BucketName, Liability, LiabilityReport, MovementName
from engage.domain.money import Money, plain

ENDS: dict[BucketName, str] = {
    "ended": "has ended, not yet swept",
    "30_days": "ends within 30 days",
    "31_to_90_days": "in 31 to 90 days",
    "91_to_180_days": "in 91 to 180 days",
    "181_to_365_days": "in 181 to 365 days",
    "later": "later",
    "never": "never",
}
MOVEMENTS: dict[MovementName, str] = {
    "issued": "issued",
    "opening": "opening balances",
    "reinstated": "reinstated",
    "spent": "spent",
    "withdrawn": "withdrawn",
    "expired": "expired (breakage)",
    "taken_back": "taken back",
    "recovered": "recovered, paid on debts",
    "adjusted": "adjusted",
    "transferred": "transferred",
}

# Shown even without points; the others only with some.
ALWAYS_SHOWN = ("issued", "spent", "expired", "taken_back")


def show(console: Console, report: LiabilityReport) -> None:
    begin = "" if report.since is None else f", the period from {instant_text(report.since)}"
    console.print(f"[bold]Liability[/] at {instant_text(report.at)}{begin}")
    if not report.items:
        console.print("No member has had points.")
    for item in report.items:
        console.print()
        console.print(_table(console, item, report))
        state = "[green]reconciled[/]" if item.reconciled else "[bold red]does not reconcile[/]"
        console.print(f"{state}: points before, movements since, and points left in lots")


def instant_text(at: datetime) -> str:
    """Name the first and the last microsecond of a day as its beginning and its end."""
    match at.time():
        case time.min:
            return f"the beginning of {at:%Y-%m-%d} UTC"
        case time.max:
            return f"the end of {at:%Y-%m-%d} UTC"
        case _:
            return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _table(console: Console, item: Liability, report: LiabilityReport) -> Table:
    table = Table(
        Column(item.program, no_wrap=True),
        box=box.SIMPLE_HEAD if console.is_terminal else None,
        pad_edge=False,
    )
    for name in ("points", item.currency, "members owe"):
        table.add_column(name, justify="right", min_width=10)
    for ending in item.expiring:
        table.add_row(ENDS[ending.bucket], _points(ending.points), _worth(ending.worth), "")
    _separate(table)
    worth = _worth(item.worth)
    table.add_row("outstanding", _points(item.outstanding), worth, _points(item.debt), style="bold")
    table.add_row("  to be spent", _points(item.active), "", "", style="dim")
    table.add_row("  held", _points(item.held), "", "", style="dim")
    table.add_row("pending, not owed yet", _points(item.pending), "", "")
    _separate(table)
    since = "in the beginning" if report.since is None else f"before {instant_text(report.since)}"
    before = _points(item.before), _worth(item.worth_before), _points(item.debt_before)
    table.add_row(since, *before, style="bold")
    for line in item.movements:
        if not (line.points or line.debt or line.kind in ALWAYS_SHOWN):
            continue
        table.add_row(MOVEMENTS[line.kind], _points(line.points), _worth(line.worth), _points(line.debt))
    table.add_row(
        f"at {instant_text(report.at)}", _points(item.outstanding), worth, _points(item.debt), style="bold"
    )
    return table


def _separate(table: Table) -> None:
    table.add_section() if table.box else table.add_row()


def _points(points: int) -> str:
    return f"{points:,}" if points else "–"


def _worth(worth: Money | None) -> str:
    return "" if worth is None else money(worth)


def money(worth: Money) -> str:
    """Format with separators: 1,234.56."""
    whole, dot, rest = plain(worth).partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{dot}{rest}"
