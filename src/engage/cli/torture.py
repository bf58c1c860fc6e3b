"""`engage torture`: break an installation of its own, and check every promise from outside."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import msgspec
import rich_click as click
import uvloop
from rich.console import Console
from rich.table import Table

from engage.cli.screen import Screen
from engage.torture.kinds import KINDS
from engage.torture.plan import Plan, make_plan
from engage.torture.repeat import read_plan, shortest_failing, stories_of
from engage.torture.run import Result, run
from engage.torture.table import Row, rows_of

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


@click.command
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of plan and members.")
@click.option("--minutes", type=click.FloatRange(min=0.1), default=2.0, show_default=True)
@click.option("--faults", default="", help=f"Only these, with commas: {', '.join(KINDS)}.")
@click.option(
    "--plan", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Repeat it."
)
@click.option(
    "--shorten",
    "shorten_min",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Minutes in which a failing run is repeated with fewer faults.",
)
@click.option("--json", "as_text", is_flag=True, help="Print JSON.")
@click.option(
    "--in",
    "parent",
    type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    help="Folder for the run's files.",
)
@click.pass_context
def torture(
    ctx: click.Context,
    seed: int,
    minutes: float,
    faults: str,
    file: Path | None,
    shorten_min: float,
    as_text: bool,
    parent: Path | None,
) -> None:
    """Start a whole installation, let members use it while its parts are broken, and check its promises.

    The exit status is 1 if a promise was broken.
    """
    plan = _plan(seed, minutes, faults) if file is None else _read(file)
    screen = Screen(Console(emoji=False, stderr=True, highlight=False, soft_wrap=True))
    result = uvloop.run(_run_until_signal(plan, shorten_min, parent, screen))
    if result is None:
        click.echo("stopped; no process is left", err=True)
        ctx.exit(INTERRUPTED)
    if as_text:
        click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        show(result)
    ctx.exit(1 if result.broken else 0)


def _plan(seed: int, minutes: float, faults: str) -> Plan:
    names = [name.strip() for name in faults.split(",") if name.strip()]
    if unknown := sorted(set(names) - KINDS.keys()):
        raise click.BadParameter(f"unknown: {', '.join(unknown)}", param_hint="--faults")
    return make_plan(seed, minutes=minutes, faults=names)


def _read(file: Path) -> Plan:
    try:
        return read_plan(file)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(str(error), param_hint="--plan") from error


async def _run_until_signal(
    plan: Plan, shorten_min: float, parent: Path | None, screen: Screen
) -> Result | None:
    """Return None after a signal. Raises InstallationError."""
    running = asyncio.create_task(_run(plan, shorten_min, parent, screen))
    for number in ENDINGS:
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        return await running
    return None


async def _run(plan: Plan, shorten_min: float, parent: Path | None, screen: Screen) -> Result:
    result = await run(plan, parent=parent, report=screen.show)
    if not result.broken or not shorten_min:
        return result
    return await shortest_failing(result, minutes=shorten_min, parent=parent, report=screen.show)


def _verdict(row: Row) -> str:
    broken = row.times - row.kept - row.unjudged
    parts = [
        f"[green]{row.kept} kept[/]" if row.kept else "",
        f"[red]{broken} broken[/]" if broken else "",
        f"[yellow]{row.unjudged} on too busy a machine[/]" if row.unjudged else "",
    ]
    return ", ".join(part for part in parts if part)


def show(result: Result) -> None:
    console = Console(emoji=False, highlight=False)
    table = Table("fault", "times", "live again after, median", "worst", "without a processor", "")
    for column in range(1, 5):
        table.columns[column].justify = "right"
    for row in rows_of(result.rounds):
        table.add_row(
            row.fault,
            str(row.times),
            f"{row.median_s:.1f} s",
            f"{row.worst_s:.1f} s",
            f"{row.starved_s:.1f} s",
            _verdict(row),
        )
    for name, reason in result.skipped.items():
        table.add_row(name, "0", "", "", "", f"skipped: {reason}")
    console.print(table)
    console.print(
        f"{result.requests:,} requests, seed {result.plan.seed}; files: {result.folder}", soft_wrap=True
    )
    for story in stories_of(result):
        console.print("[bold red]broken[/] ", end="")
        for line in story:
            console.print(line, markup=False, soft_wrap=True)
    if result.broken:
        console.print(f"again: engage torture --plan {result.folder}/plan.json", soft_wrap=True)
    else:
        console.print("[green]every promise was kept[/]")
