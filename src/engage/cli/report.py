"""`engage report`: what finance asks of an installation, at any instant that has passed."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import rich_click as click
from rich import box
from rich.console import Console
from rich.table import Table

from engage.domain.accounts.liability import LiabilityReport
from engage.domain.accounts.period import InvalidPeriod
from engage.domain.document.errors import DocumentError
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.embedded.installation import open_installation
from engage.flows.reports.csv_export import as_csv
from engage.flows.reports.reports import PastMemberBalance, report_balance, report_liability

T = TypeVar("T")

# A pipe has no width of its own.
PIPE_WIDTH = 120

AT = (
    "An instant that has passed, such as 2026-12-31T18:00:00Z, all that happened at it included; or a date, "
    "for the end of that day in UTC. Without it, now."
)
FROM = "Where the period begins, that instant included; a date is the beginning of its day in UTC."

_data = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="The installation's folder, running or not. Without it the URLs of the environment, or .engage.",
)
_at = click.option("--at", metavar="TIME", help=AT)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API answers.")


@click.group
def report() -> None:
    """Tell finance what points are owed, at any past instant."""


@report.command
@_at
@click.option("--from", "since", metavar="TIME", help=FROM)
@click.option("--program", "program_id", metavar="ID", help="Of this program alone.")
@_data
@click.option("--csv", "csv_file", metavar="FILE", help="Write a CSV file; - for standard output.")
@click.option("--chart", type=click.Path(path_type=Path, dir_okay=False), help="Draw it into an SVG file.")
@_json
@click.pass_context
def liability(
    ctx: click.Context,
    at: str | None,
    since: str | None,
    program_id: str | None,
    data: Path | None,
    csv_file: str | None,
    chart: Path | None,
    as_json: bool,
) -> None:
    """Points that members have and what they are worth, by when they end, and what became of points since.

    Outstanding is what members can spend and what holds keep. Pending points are not owed yet; they stand
    beside it. `--from 2026-12-01 --at 2026-12-31` is December. Exit status 1 when the movements of the
    period do not lead from what was outstanding before it to what is outstanding after.
    """
    if as_json and csv_file == "-":
        raise click.UsageError("either --json or --csv - can be on standard output")
    found = _run(_liability(data, at=at, since=since, program_id=program_id))
    if csv_file is not None:
        _write(csv_file, as_csv(found))
    if chart is not None:
        from engage.cli.chart import draw

        _write(str(chart), draw(found))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    elif csv_file != "-":
        from engage.cli.report_view import show

        show(_console(), found)
    ctx.exit(0 if all(item.reconciled for item in found.items) else 1)


@report.command
@click.argument("member_id", metavar="MEMBER")
@_at
@click.option("--program", "program_id", metavar="ID", help="In this program alone.")
@_data
@_json
def balance(member_id: str, at: str | None, program_id: str | None, data: Path | None, as_json: bool) -> None:
    """What one member had."""
    found = _run(_balance(data, member_id, at=at, program_id=program_id))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    console = _console()
    console.print(f"{member_id} at {msgspec.to_builtins(found[0].at)}", markup=False)
    table = Table("program", box=box.SIMPLE_HEAD if console.is_terminal else None)
    for name in ("active", "pending", "held", "debt"):
        table.add_column(name, justify="right")
    for one in found:
        had = one.balance
        table.add_row(one.program, f"{had.active:,}", f"{had.pending:,}", f"{had.held:,}", f"{had.debt:,}")
    console.print(table)


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


async def _liability(
    data: Path | None, *, at: str | None, since: str | None, program_id: str | None
) -> LiabilityReport:
    async with open_installation(data) as settings:
        return await report_liability(settings, at=at, since=since, program_id=program_id)


async def _balance(
    data: Path | None, member_id: str, *, at: str | None, program_id: str | None
) -> list[PastMemberBalance]:
    async with open_installation(data) as settings:
        return await report_balance(settings, member_id, at=at, program_id=program_id)


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except InvalidPeriod as error:
        raise click.BadParameter(str(error), param_hint=f"--{error.field}") from None
    except Unavailable as away:
        raise click.ClickException(f"{away.facts['part']} does not answer") from away
    except Refusal as refusal:
        what = {Code.UNKNOWN_PROGRAM: "program", Code.UNKNOWN_MEMBER: "member"}[refusal.code]
        raise click.ClickException(f"there is no such {what}") from None
    except DocumentError as error:
        raise click.ClickException(f"a published version cannot be read: {error}") from error


def _write(file: str, text: str) -> None:
    try:
        with click.open_file(file, "w", encoding="utf-8") as out:
            # Line ends are the text's own.
            out.write(text)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror or error}") from None
