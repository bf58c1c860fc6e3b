"""`engage bench`: measure this machine, with servers and a data folder that are removed afterwards."""

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
from engage.cli.options import Range
from engage.cli.screen import Screen
from engage.clock import machine_time

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
PLAIN_WIDTH = 150  # Of the table without a terminal.

SIZES = {
    "rounds": "Rounds of each implementation that is compared.",
    "connections": "tap, campaigns: connections of the load client.",
    "taps": "tap, campaigns: taps in a round.",
    "credits": "settle: credits in a round.",
    "singles": "settle: credits settled, orders: events sent, one by one, in a round.",
    "backlog": "settle: credits in the backlog.",
    "workers": "settle, expire, backtest: worker processes.",
    "sockets": "feed: websockets that receive pushes.",
    "pushes": "feed: pushes in a round.",
    "idle": "feed: idle websockets.",
    "idle_s": "feed, sockets: seconds they are idle.",
    "apps": "sockets: apps with a websocket; soak: a tenth of it.",
    "minutes": "soak: minutes.",
    "load": "soak: load, as a share of what the machine can do.",
    "rate": "lateness, expire: taps a second.",
    "seconds": "lateness: seconds of taps.",
    "delay_s": "lateness: seconds until points are due.",
    "members": "gate: members loaded into the gate, books, console: members.",
    "claims": "gate: claims in a round.",
    "payments": "checkout: orders paid with points, in a round.",
    "orders": "orders, campaigns: orders in a round, each paid, delivered and returned.",
    "ranked": "leaderboard: members on the board.",
    "placed": "leaderboard: members who ask for their place.",
    "screens": "home: home screens in a round, of each kind.",
    "sized": "size: members who tap once a day.",
    "days": "size: days.",
    "population": "scale: members of an installation; give several, which are compared with the smallest.",
    "credits_each": "scale: settled credits of each member.",
    "visits": "scale: members in a round.",
    "quizzes": "quiz: quizzes in a round, each begun and answered.",
    "listed": "segment: ids in the list.",
    "activities": "backtest: activities on which a draft is tried.",
    "campaigns": "campaigns, console: campaigns that run at once.",
    "pages": "console: requests of each page.",
    "lots": "expire: lots that expire at one instant.",
}


def _size_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each field of Sizes."""
    defaults = Sizes()
    for name, line in reversed(SIZES.items()):
        default = getattr(defaults, name)
        kind = Range(min=0) if isinstance(default, float) else click.IntRange(min=1)
        flag = "--" + name.replace("_", "-")
        option = click.option(
            flag,
            name,
            type=kind,
            default=default,
            multiple=isinstance(default, tuple),
            show_default=True,
            help=line,
        )
        command = option(command)
    return command


@click.command
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(BENCHMARKS)))
@click.option("--json", "as_text", is_flag=True, help="Print JSON.")
@click.option(
    "--in",
    "parent",
    type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    help="Folder for the servers' temporary files, on the disk to be measured.",
)
@_size_options
@click.pass_context
def bench(
    ctx: click.Context, /, names: Sequence[str], as_text: bool, parent: Path | None, **sizes: Any
) -> None:
    """Run all benchmarks or the NAMEd ones: tap, home, settle, feed, lateness, gate, checkout, orders,
    expire, quiz, leaderboard, segment, backtest, books, campaigns, console, size, scale, sockets and soak.

    Each starts real servers and processes, flushes every commit to disk, and compares implementations in
    alternating rounds. Figures of a busy machine are low, so its load is shown. Files are removed at the end.
    """
    machine = describe(parent)
    selected = list(dict.fromkeys(names)) or list(BENCHMARKS)
    outcomes = uvloop.run(_run_until_signal(selected, Sizes(**sizes), parent))
    if outcomes is None:
        click.echo("stopped; all files are removed", err=True)
        ctx.exit(INTERRUPTED)
    if as_text:
        click.echo(_json(machine, outcomes))
    else:
        show(machine, outcomes)
    ctx.exit(1 if any(outcome.failure for outcome in outcomes) else 0)


async def _run_until_signal(names: Sequence[str], sizes: Sizes, parent: Path | None) -> list[Outcome] | None:
    """Return None after a signal. Raises InstallationError."""
    console = Console(emoji=False, stderr=True, highlight=False)
    screen = Screen(console)
    report = screen.begin_step if console.is_terminal else _print_step
    measuring = asyncio.create_task(measure(names, sizes, parent, report=report))
    for number in ENDINGS:
        asyncio.get_running_loop().add_signal_handler(number, measuring.cancel)
    try:
        with suppress(asyncio.CancelledError):
            return await measuring
        return None
    finally:
        screen.end_step()


def _print_step(step: str) -> None:
    """Leave a line with the time where no spinner can be seen, such as in a file."""
    click.echo(f"{machine_time():%H:%M:%S} {step}", err=True)


def _json(machine: Machine, outcomes: Sequence[Outcome]) -> str:
    benchmarks = [
        msgspec.to_builtins(outcome) | {"figures": [as_json(figure) for figure in outcome.figures]}
        for outcome in outcomes
    ]
    return msgspec.json.format(
        msgspec.json.encode({"machine": machine, "benchmarks": benchmarks}), indent=2
    ).decode()


def show(machine: Machine, outcomes: Sequence[Outcome]) -> None:
    console = Console(emoji=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    console.print(
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB; {machine.system}; "
        f"Python {machine.python}; {machine.disk}, {machine.sync_ms} ms to flush a page to disk"
    )
    table = Table("what", "figure", "over", "ratio", "target", "", "notes")
    for column in (1, 3, 4):
        table.columns[column].justify = "right"
    for outcome in outcomes:
        table.add_section()
        duration = f"{outcome.seconds:.0f} s, load average {outcome.load_average:.1f} before"
        table.add_row(f"[bold]{outcome.name}[/bold]", "", "", "", "", "", f"[dim]{duration}[/dim]")
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
    """Format with three digits, or all digits before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
