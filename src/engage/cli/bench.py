"""`engage bench`: measures this machine, on servers and a folder of its own that are gone afterwards."""

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click
import uvloop
from rich.console import Console
from rich.table import Table

from engage.bench.figures import Figure, as_json
from engage.bench.machine import Machine, describe
from engage.bench.sizes import Sizes
from engage.bench.suite import BENCHMARKS, Outcome, measure
from engage.cli.screen import Screen

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
PLAIN_WIDTH = 150  # Of the table where there is no terminal.

SIZES = {
    "rounds": "Rounds of each thing that is compared.",
    "connections": "tap: connections of the load client.",
    "taps": "tap: taps in a round.",
    "credits": "settle: credits in a round.",
    "singles": "settle: credits settled, orders: events sent, one by one, in a round.",
    "backlog": "settle: credits of the backlog.",
    "workers": "settle, expire: workers on the backlog.",
    "sockets": "feed: sockets that are pushed to.",
    "pushes": "feed: pushes in a round.",
    "idle": "feed: idle connections.",
    "idle_s": "feed: seconds they are idle.",
    "rate": "lateness, expire: taps a second.",
    "seconds": "lateness: seconds of taps.",
    "delay_s": "lateness: seconds until points are due.",
    "members": "gate: members that are known.",
    "claims": "gate: claims in a round.",
    "payments": "checkout: orders paid with points, in a round.",
    "orders": "orders: orders in a round, each paid, delivered and returned.",
    "lots": "expire: lots that end at one instant.",
}


def _size_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each field of Sizes."""
    defaults = Sizes()
    for name, line in reversed(SIZES.items()):
        default = getattr(defaults, name)
        kind = click.IntRange(min=1) if isinstance(default, int) else click.FloatRange(min=0)
        flag = "--" + name.replace("_", "-")
        command = click.option(flag, name, type=kind, default=default, show_default=True, help=line)(command)
    return command


@click.command
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(BENCHMARKS)))
@click.option("--json", "as_text", is_flag=True, help="Print JSON.")
@click.option(
    "--in",
    "parent",
    type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    help="Where the servers' files go while it runs. Should be on the disk that is to be measured.",
)
@_size_options
@click.pass_context
def bench(
    ctx: click.Context, /, names: Sequence[str], as_text: bool, parent: Path | None, **sizes: Any
) -> None:
    """Measure this machine by all benchmarks, or by those that are NAMEd: tap, settle, feed, lateness, gate,
    checkout, orders and expire.

    Each starts real servers and real parts, with every commit on disk, and compares within one run, in turn.
    Figures of a busy machine are low; its load is told beside them. Nothing is left behind.
    """
    machine = describe(parent)
    asked = list(dict.fromkeys(names)) or list(BENCHMARKS)
    outcomes = uvloop.run(_until_told(asked, Sizes(**sizes), parent))
    if outcomes is None:
        click.echo("stopped; nothing is left", err=True)
        ctx.exit(INTERRUPTED)
    if as_text:
        click.echo(_json(machine, outcomes))
    else:
        show(machine, outcomes)
    ctx.exit(1 if any(outcome.failure for outcome in outcomes) else 0)


async def _until_told(names: Sequence[str], sizes: Sizes, parent: Path | None) -> list[Outcome] | None:
    """None when a signal has ended it. Raises InstallationError."""
    screen = Screen(Console(stderr=True, highlight=False))
    measuring = asyncio.create_task(measure(names, sizes, parent, say=screen.begin))
    for number in ENDINGS:
        asyncio.get_running_loop().add_signal_handler(number, measuring.cancel)
    try:
        with suppress(asyncio.CancelledError):
            return await measuring
        return None
    finally:
        screen.end()


def _json(machine: Machine, outcomes: Sequence[Outcome]) -> str:
    found = [
        msgspec.to_builtins(outcome) | {"figures": [as_json(figure) for figure in outcome.figures]}
        for outcome in outcomes
    ]
    return msgspec.json.format(
        msgspec.json.encode({"machine": machine, "benchmarks": found}), indent=2
    ).decode()


def show(machine: Machine, outcomes: Sequence[Outcome]) -> None:
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    console.print(
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB; {machine.system}; "
        f"Python {machine.python}; {machine.disk}, {machine.sync_ms} ms to have a page on disk"
    )
    table = Table("what", "figure", "over", "ratio", "target", "", "remarks")
    for column in (1, 3, 4):
        table.columns[column].justify = "right"
    for outcome in outcomes:
        table.add_section()
        took = f"{outcome.seconds:.0f} s, load average {outcome.load_average:.1f} before"
        table.add_row(f"[bold]{outcome.name}[/bold]", "", "", "", "", "", f"[dim]{took}[/dim]")
        for figure in outcome.figures:
            table.add_row(*_row(figure))
        if outcome.failure is not None:
            table.add_row("[red]failed[/red]", "", "", "", "", "", outcome.failure)
    console.print(table)


def _row(figure: Figure) -> tuple[str, ...]:
    verdict = {None: "", True: "[green]met[/green]", False: "[red]missed[/red]"}[figure.met]
    ratio = "" if figure.ratio is None else number(figure.ratio)
    value = f"{number(figure.value)} {figure.unit}"
    return figure.what, value, figure.over or "", ratio, _target(figure), verdict, figure.note or ""


def _target(figure: Figure) -> str:
    bounds = (("≥", figure.at_least), ("≤", figure.at_most))
    return " ".join(f"{sign} {bound:,g}" for sign, bound in bounds if bound is not None)


def number(value: float) -> str:
    """Three digits, or all of those before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
