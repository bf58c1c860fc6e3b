"""The liability report as a chart: movements in the period, and when the outstanding points expire.

We write the SVG with a template. It adapts to light and dark, and is too simple for a library of plots.
"""

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct

from engage.cli.liability_table import instant_text, money
from engage.domain.accounts.liability import BucketName, Liability, LiabilityReport, MovementName

WIDTH: Final = 960
PANEL: Final = 372
BASE: Final = 315
TALLEST: Final = 180
LEFT: Final = 36
RIGHT: Final = 620  # Left edge of the labels and bars of expiring points.
LONGEST: Final = 150

_ENDS: Final[dict[BucketName, str]] = {
    "ended": "has ended",
    "30_days": "within 30 days",
    "31_to_90_days": "31 to 90 days",
    "91_to_180_days": "91 to 180 days",
    "181_to_365_days": "181 to 365 days",
    "later": "later",
    "never": "never",
}
_MOVEMENTS: Final[dict[MovementName, tuple[str, str]]] = {
    "issued": ("issued", ""),
    "opening": ("opening", "balances"),
    "reinstated": ("reinstated", ""),
    "spent": ("spent", ""),
    "withdrawn": ("withdrawn", ""),
    "expired": ("expired", ""),
    "taken_back": ("taken", "back"),
    "recovered": ("paid on", "debts"),
    "adjusted": ("adjusted", ""),
    "transferred": ("trans-", "ferred"),
}

_templates = Environment(
    loader=PackageLoader("engage.cli"), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
)


class Step(Struct, frozen=True, kw_only=True):
    """A column: a total from the base line, or a movement from the end of the column before (`start`)."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    middle: float
    start: float
    link: float | None
    figure: str
    label: tuple[str, str]


class Bar(Struct, frozen=True):
    label: str
    y: float
    width: float
    figure: str


class Panel(Struct, frozen=True):
    top: int
    title: str
    summary: str
    since: str
    steps: list[Step]
    bars: list[Bar]


def draw(report: LiabilityReport) -> str:
    """Return an SVG document with a panel for each program and currency."""
    panels = [_panel(item, report, n * PANEL) for n, item in enumerate(report.items)]
    height = max(len(panels), 1) * PANEL
    return _templates.get_template("liability.svg").render(
        width=WIDTH, height=height, at=instant_text(report.at), base=BASE, right=RIGHT, panels=panels
    )


def _panel(item: Liability, report: LiabilityReport, top: int) -> Panel:
    worth = "" if item.worth is None else f", {money(item.worth)} {item.currency}"
    return Panel(
        top,
        f"{item.program}, {item.currency}",
        f"{item.outstanding:,} points outstanding{worth}, at {instant_text(report.at)}",
        f"Movements since {'the beginning' if report.since is None else instant_text(report.since)}",
        _steps(item),
        _bars(item),
    )


def _steps(item: Liability) -> list[Step]:
    movements = [line for line in item.movements if line.points]
    columns = [
        ("total", 0, item.before, ("before", "")),
        *(
            ("up" if line.points > 0 else "down", None, line.points, _MOVEMENTS[line.kind])
            for line in movements
        ),
        ("total", 0, item.outstanding, ("after", "")),
    ]
    slot = min((RIGHT - 50 - LEFT) / len(columns), 90.0)
    levels = [item.before]
    for line in movements:
        levels.append(levels[-1] + line.points)
    scale = TALLEST / max(*levels, item.outstanding, 1)
    steps: list[Step] = []
    level = 0
    for n, (kind, start, points, label) in enumerate(columns):
        begin = level if start is None else start
        level = begin + points
        x = LEFT + n * slot + slot * 0.14
        width = slot * 0.72
        # Make even small amounts visible.
        height = max(abs(points) * scale, 1.5 if points else 0)
        steps.append(
            Step(
                kind=kind,
                x=round(x, 1),
                y=round(BASE - max(begin, level) * scale, 1),
                width=round(width, 1),
                height=round(height, 1),
                middle=round(x + width / 2, 1),
                start=round(BASE - (begin if start is None else level) * scale, 1),
                link=round(x - slot + width, 1) if n else None,
                figure=short(points)
                if start is not None
                else f"{'+' if points > 0 else '−'}{short(abs(points))}",
                label=label,
            )
        )
    return steps


def _bars(item: Liability) -> list[Bar]:
    most = max((ending.points for ending in item.expiring), default=0)
    return [
        Bar(
            _ENDS[ending.bucket],
            BASE - TALLEST - 14 + n * 28,
            round(max(LONGEST * ending.points / most, 1.5), 1) if ending.points > 0 else 0.0,
            short(ending.points),
        )
        for n, ending in enumerate(item.expiring)
    ]


def short(points: int) -> str:
    """Format with about three digits: 950, 12.3 k, 4.56 M."""
    for size, unit in ((1_000_000_000, " G"), (1_000_000, " M"), (1_000, " k")):
        if abs(points) >= size:
            return f"{points / size:.3g}{unit}"
    return str(points)
