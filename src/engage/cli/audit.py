"""`engage audit` and `engage rebuild`: check the ledger, and load Valkey's state from it."""

from datetime import datetime
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.progress import TimeElapsedColumn
from rich.table import Column, Table

from engage.cli.options import data_option
from engage.cli.output import open_console, progress_bar, utc_text
from engage.cli.run import run_with_services, run_with_settings
from engage.flows.operations.audit import CHECKS, Audit, Check, Finding
from engage.flows.operations.audit import audit as audit_ledger
from engage.flows.operations.rebuild import PATIENCE_S
from engage.flows.operations.rebuild import rebuild as rebuild_state

INCOMPLETE = (
    ", so the rebuild is not complete: repeat it when the server answers. Members who were not loaded are"
    " loaded at their next request"
)


@click.command
@data_option
@click.pass_context
def audit(ctx: click.Context, data: Path | None) -> None:
    """Prove that every point is accounted for: check each invariant in one snapshot of the database.

    It may run while points move. If an invariant is broken, its rows are shown and the exit status is 1. Late
    work is shown too, but is no failure.
    """
    console = open_console()
    with progress_bar(console, TimeElapsedColumn()) as progress:
        task = progress.add_task("", total=len(CHECKS))

        def show_check(done: int, check: Check) -> None:
            progress.update(task, completed=done, description=check.name)

        result = run_with_settings(data, lambda settings: audit_ledger(settings, on_check=show_check))
    for finding in result.broken:
        show_finding(console, finding, "[bold red]broken[/]")
    for finding in result.late:
        show_finding(console, finding, "[yellow]late[/]  ")
    _show_summary(console, result)
    ctx.exit(1 if result.broken else 0)


@click.command
@data_option
def rebuild(data: Path | None) -> None:
    """Load Valkey's state from PostgreSQL. The system may run meanwhile.

    While a server does not answer, it waits and goes on, for a minute without any progress.
    """
    console = open_console()
    with progress_bar(console, TimeElapsedColumn()) as progress:
        tasks = {name: progress.add_task(name, total=None) for name in ("members", "doorbells")}

        def show_progress(name: str, done: int, total: int) -> None:
            progress.update(tasks[name], completed=done, total=total)

        def show_waiting(part: str) -> None:
            console.print(f"{part} does not answer; trying again for {PATIENCE_S:.0f} s", soft_wrap=True)

        result = run_with_services(
            data,
            lambda services: rebuild_state(services, on_progress=show_progress, on_waiting=show_waiting),
            hint=INCOMPLETE,
        )
    console.print(
        f"[green]rebuilt[/] {result.loaded:,} of {result.members:,} members, "
        f"{result.doorbells:,} doorbells rung; other members are loaded at their next request",
        soft_wrap=True,
    )


def show_finding(console: Console, finding: Finding, state: str) -> None:
    """Print a check and the rows that break it, with ids as they are stored. `state` may have markup."""
    check = finding.check
    console.print(f"{state} {check.name}: {check.promise}", soft_wrap=True)
    shown = len(finding.rows)
    rest = "" if shown == finding.count else f", the first {shown} of them"
    # Fold ids instead of cutting them off, so that they can be copied.
    columns = [Column(name, overflow="fold") for name in finding.columns]
    table = Table(*columns, caption=f"{finding.count:,} rows{rest}", caption_justify="left")
    for row in finding.rows:
        table.add_row(*map(_cell, row))
    console.print(table)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return utc_text(value, "milliseconds")
        case _:
            return escape(str(value))


def _show_summary(console: Console, result: Audit) -> None:
    totals = result.totals
    console.print(
        f"{totals.members:,} members, {totals.credits:,} credits, {totals.entries:,} entries; "
        f"{totals.active_points:,} points active, {totals.pending_points:,} pending",
        soft_wrap=True,
    )
    if result.broken:
        console.print(f"[bold red]{len(result.broken)} of {len(CHECKS)} promises are broken[/]")
    else:
        console.print(f"[green]clean[/] {len(CHECKS)} checks: every point is accounted for")
