"""`engage audit` and `engage rebuild`: proving the ledger, and making Valkey's state again from it."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from engage.domain.document.errors import DocumentError
from engage.domain.refusals import Unavailable
from engage.embedded.installation import open_installation
from engage.flows.operations.audit import CHECKS, Audit, Finding
from engage.flows.operations.audit import audit as audit_ledger
from engage.flows.operations.rebuild import Rebuilt
from engage.flows.operations.rebuild import rebuild as rebuild_state
from engage.runtime.services import open_services

T = TypeVar("T")

_data = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    help="The installation's folder, running or not. Without it the URLs of the environment, or .engage.",
)


@click.command
@_data
@click.pass_context
def audit(ctx: click.Context, data: Path | None) -> None:
    """Prove that every point is accounted for: check each invariant in one snapshot of the database.

    It may run while points move. Exit status 1, and the rows, when a promise is broken; what is only late is
    told, and is no failure.
    """
    console = Console(highlight=False)
    found = _run(_audit(data, console))
    for finding in found.broken:
        _show(console, finding, "[bold red]broken[/]")
    for finding in found.late:
        _show(console, finding, "[yellow]late[/]  ")
    _sum_up(console, found)
    ctx.exit(1 if found.broken else 0)


@click.command
@_data
def rebuild(data: Path | None) -> None:
    """Make Valkey's state again from PostgreSQL, while the system runs or stands."""
    console = Console(highlight=False)
    done = _run(_rebuild(data, console))
    console.print(
        f"[green]rebuilt[/] {done.loaded:,} of {done.members:,} members, {done.bells:,} doorbells rung; "
        "whoever is missing is loaded when they come",
        soft_wrap=True,
    )


async def _audit(data: Path | None, console: Console) -> Audit:
    async with open_installation(data) as settings:
        with _progress(console) as progress:
            bar = progress.add_task("", total=len(CHECKS))
            return await audit_ledger(
                settings,
                told=lambda done, check: progress.update(bar, completed=done, description=check.name),
            )


async def _rebuild(data: Path | None, console: Console) -> Rebuilt:
    async with (
        open_installation(data) as settings,
        open_services(settings, command_timeout_s=None) as services,
    ):
        with _progress(console) as progress:
            bars = {what: progress.add_task(what, total=None) for what in ("members", "doorbells")}
            return await rebuild_state(
                services,
                told=lambda what, done, total: progress.update(bars[what], completed=done, total=total),
            )


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """A bar, for as long as it takes; nothing where nobody looks."""
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except Unavailable as away:
        raise click.ClickException(f"{away.facts['part']} does not answer") from away
    except DocumentError as error:
        raise click.ClickException(f"a published version cannot be read: {error}") from error


def _show(console: Console, finding: Finding, state: str) -> None:
    check = finding.check
    console.print(f"{state} {check.name}: {check.promise}", soft_wrap=True)
    shown = len(finding.rows)
    rest = "" if shown == finding.count else f", the first {shown} of them"
    # Ids are to be copied: they are wrapped rather than cut.
    columns = [Column(name, overflow="fold") for name in finding.columns]
    table = Table(*columns, caption=f"{finding.count:,} rows{rest}", caption_justify="left")
    for row in finding.rows:
        table.add_row(*map(_cell, row))
    # A pipe has no width of its own; what is cut off there could not be looked up.
    console.print(table, width=None if console.is_terminal else 200)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
        case _:
            return str(value)


def _sum_up(console: Console, found: Audit) -> None:
    of = found.totals
    console.print(
        f"{of.members:,} members, {of.credits:,} credits, {of.entries:,} entries; "
        f"{of.active_points:,} points active, {of.pending_points:,} pending",
        soft_wrap=True,
    )
    if found.broken:
        console.print(f"[bold red]{len(found.broken)} of {len(CHECKS)} promises are broken[/]")
    else:
        console.print(f"[green]clean[/] {len(CHECKS)} checks: every point is accounted for")
