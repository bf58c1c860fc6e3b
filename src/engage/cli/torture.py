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

from engage.cli.options import Range
from engage.cli.screen import Screen
from engage.torture.kinds import KINDS
from engage.torture.plan import Plan, make_plan, mistakes, unknown_faults
from engage.torture.repeat import read_plan, shortest_failing, stories_of
from engage.torture.run import ImpossibleFaults, Result, run
from engage.torture.table import Row, rows_of

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
LONGEST_MIN = 1_440


@click.command
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of plan and members.")
@click.option(
    "--minutes",
    type=Range(min=0, max=LONGEST_MIN, min_open=True),
    default=2.0,
    show_default=True,
    help=f"How long members act and parts are broken: more than 0, at most {LONGEST_MIN:,}.",
)
@click.option("--faults", help=f"Only these, with commas: {', '.join(KINDS)}.")
@click.option(
    "--plan", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Repeat it."
)
@click.option(
    "--shorten",
    "shorten_min",
    type=Range(min=0, max=LONGEST_MIN),
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
    faults: str | None,
    file: Path | None,
    shorten_min: float,
    as_text: bool,
    parent: Path | None,
) -> None:
    """Start a whole installation, let members use it while its parts are broken, and check its promises.

    The exit status is 1 if a promise was broken, or if the run proves nothing: no round of faults was judged,
    or no request had a 2xx answer.
    """
    plan = _plan(seed, minutes, faults) if file is None else _read(file)
    screen = Screen(Console(emoji=False, stderr=True, highlight=False, soft_wrap=True))
    try:
        result = uvloop.run(_run_until_signal(plan, shorten_min, parent, screen))
    except ImpossibleFaults as error:
        raise click.UsageError(f"no fault of the plan can be done here: {error}") from error
    if result is None:
        click.echo("stopped; no process is left", err=True)
        ctx.exit(INTERRUPTED)
    if as_text:
        click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        show(result)
    ctx.exit(1 if result.broken or result.unproved else 0)


def _plan(seed: int, minutes: float, faults: str | None) -> Plan:
    names = [] if faults is None else [name.strip() for name in faults.split(",")]
    if not all(names):
        raise click.BadParameter("a name is empty", param_hint="--faults")
    if unknown := unknown_faults(names):
        raise click.BadParameter(unknown, param_hint="--faults")
    return make_plan(seed, minutes=minutes, faults=names)


def _read(file: Path) -> Plan:
    try:
        plan = read_plan(file)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(str(error), param_hint="--plan") from error
    if found := list(dict.fromkeys(mistakes(plan))):
        raise click.BadParameter("; ".join(found), param_hint="--plan")
    return plan


async def _run_until_signal(
    plan: Plan, shorten_min: float, parent: Path | None, screen: Screen
) -> Result | None:
    """Return None after a signal. Raises InstallationError, ImpossibleFaults."""
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
        f"{result.judged} of {len(result.rounds)} rounds judged; {result.requests:,} requests, "
        f"{result.accepted:,} with a 2xx answer; seed {result.plan.seed}; files: {result.folder}",
        soft_wrap=True,
    )
    for story in stories_of(result):
        console.print("[bold red]broken[/] ", end="")
        for line in story:
            console.print(line, markup=False, soft_wrap=True)
    if result.unproved:
        console.print(f"[bold red]nothing is proved:[/] {result.unproved}", soft_wrap=True)
    if result.broken:
        console.print(f"again: engage torture --plan {result.folder}/plan.json", soft_wrap=True)
    elif not result.unproved:
        console.print("[green]every promise was kept[/]")
