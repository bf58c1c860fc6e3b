"""The screen of `engage top`."""

from collections.abc import Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engage.cli.top.figures import Figures, PartFigures

GOOD, BAD, SOSO, DIM = "green", "bold red", "yellow", "dim"
STYLES = {"up": GOOD, "down": BAD, "away": BAD}
LATE_S = 10.0
PANEL_WIDTH = 38


def screen(shown: Figures, *, title: str) -> RenderableType:
    """Draw the figures, worst news first in each part."""
    panels = [
        _panel("Taps", _taps(shown)),
        _panel("Settlement", _settlement(shown)),
        _panel("Feed", _feed(shown)),
        _panel("After the commit", _after(shown)),
    ]
    below = [
        _list("Refusals a second", [(code, _rate(rate)) for code, rate in shown.refusals]),
        _list("Budgets near their end", [(name, f"{used:.0%}") for name, used in shown.budgets]),
        _list("Rewards nearly gone", [(name, _count(left)) for name, left in shown.stock]),
        _list("Broken promises", [(name, _count(count)) for name, count in shown.breaches], style=BAD),
    ]
    lists = [each for each in below if each is not None]
    problems = [f"{part.name}: {text}" for part in shown.parts for text in part.problems]
    # A loop is among the problems of its part too.
    troubles = [*shown.loops, *(each for each in problems if not _is_of(each, shown.loops))]
    return Group(
        Text(title, style="bold"),
        _parts(shown.parts),
        Columns(panels),
        *([Columns(lists)] if lists else []),
        *(Text(f"! {trouble}", style=BAD) for trouble in dict.fromkeys(troubles)),
    )


def _parts(parts: Sequence[PartFigures]) -> Table:
    table = Table(box=None, pad_edge=False, header_style=DIM)
    for name in ("part", "operations port", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("processor", "memory", "event loop late"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in parts:
        table.add_row(
            part.name,
            part.address,
            Text(part.state, style=STYLES.get(part.state, BAD)),
            "–" if part.processor is None else f"{part.processor:.0%}",
            "–" if part.memory_bytes is None else f"{part.memory_bytes / 1_048_576:.0f} MiB",
            _seconds(part.lag_s),
        )
    return table


Row = tuple[str, str, str]


def _taps(shown: Figures) -> list[Row]:
    failing = BAD if shown.failed_requests else ""
    return [
        ("accepted a second", _rate(shown.taps), GOOD if shown.taps else ""),
        ("refused", _rate(shown.refused_taps), ""),
        ("half are answered within", _seconds(shown.tap_p50_s), ""),
        ("99 % are answered within", _seconds(shown.tap_p99_s), ""),
        ("all requests a second", _rate(shown.requests), ""),
        ("failed (5xx)", _rate(shown.failed_requests), failing),
    ]


def _settlement(shown: Figures) -> list[Row]:
    late = BAD if shown.overdue else ""
    lagging = BAD if (shown.lag_p99_s or 0) > LATE_S else ""
    return [
        ("activated a second", _rate(shown.settled), GOOD if shown.settled else ""),
        ("99 % late by at most", _seconds(shown.lag_p99_s), lagging),
        ("pending credits", _count(shown.pending), ""),
        ("overdue credits, points", f"{_count(shown.overdue)}, {_count(shown.overdue_points)}", late),
        ("oldest overdue", _seconds(shown.overdue_age_s or None), late),
        ("found by the sweep only", _count(shown.missed), SOSO if shown.missed else ""),
    ]


def _feed(shown: Figures) -> list[Row]:
    return [
        ("sockets", _count(shown.sockets), ""),
        ("pushes a second", _rate(shown.pushes), GOOD if shown.pushes else ""),
        ("held back", _rate(shown.held_back), ""),
        ("dropped for slowness", _rate(shown.dropped), BAD if shown.dropped else ""),
    ]


def _after(shown: Figures) -> list[Row]:
    old = SOSO if (shown.outbox_age_s or 0) > LATE_S else ""
    return [
        ("outbox rows", _count(shown.outbox_rows), ""),
        ("oldest row", _seconds(shown.outbox_age_s or None), old),
        ("reactions that wait", _count(shown.reactions), ""),
        ("payouts with unknown end", _count(shown.payouts_unknown), BAD if shown.payouts_unknown else ""),
    ]


def _panel(title: str, rows: Sequence[Row]) -> Panel:
    table = Table.grid(expand=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value, style in rows:
        table.add_row(name, Text(value, style=style))
    return Panel(table, title=title, title_align="left", width=PANEL_WIDTH, border_style=DIM)


def _list(title: str, rows: Sequence[tuple[str, str]], *, style: str = SOSO) -> Panel | None:
    return _panel(title, [(name, value, style) for name, value in rows]) if rows else None


def _rate(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value * 1_000:.3g} ms" if value < 1 else f"{value:,.1f} s"


def _is_of(problem: str, loops: Sequence[str]) -> bool:
    return any(loop.startswith(f"{problem} ") for loop in loops)
