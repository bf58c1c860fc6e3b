"""`engage report`: reports for finance, at any past instant."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import rich_click as click
from rich import box
from rich.table import Table

from engage.cli.options import data_option
from engage.cli.output import open_console
from engage.cli.run import run_with_settings
from engage.domain.accounts.period import InvalidPeriod
from engage.flows.reports.csv_export import as_csv
from engage.flows.reports.reports import report_balance, report_liability
from engage.settings import Settings

T = TypeVar("T")

PIPE_WIDTH = 120

AT = (
    "A past instant, such as 2026-12-31T18:00:00Z, which is included; or a date, for the end of that day "
    "in UTC. The default is now."
)
FROM = "The first instant of the period. A date means the beginning of that day in UTC."

_at = click.option("--at", metavar="TIME", help=AT)
_json = click.option("--json", "as_json", is_flag=True, help="Print the JSON of the API.")


@click.group
def report() -> None:
    """Report what points are owed, at any past instant."""


@report.command
@_at
@click.option("--from", "since", metavar="TIME", help=FROM)
@click.option("--program", "program_id", metavar="ID", help="Only this program.")
@data_option
@click.option("--csv", "csv_file", metavar="FILE", help="Write a CSV file; - for standard output.")
@click.option(
    "--chart", type=click.Path(path_type=Path, dir_okay=False), help="Write a chart to an SVG file."
)
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
    """Report points and their worth, when they expire, and how they moved in a period.

    Outstanding points are active or held. Pending points are not owed yet and are shown beside them.
    `--from 2026-12-01 --at 2026-12-31` is December. The exit status is 1 if the outstanding points before the
    period and the movements in it do not add up to the outstanding points after it.
    """
    if as_json and csv_file == "-":
        raise click.UsageError("only one of --json and --csv - can use standard output")
    result = _run(
        data, lambda settings: report_liability(settings, at=at, since=since, program_id=program_id)
    )
    if csv_file is not None:
        _write(csv_file, as_csv(result))
    if chart is not None:
        from engage.cli.liability_chart import draw

        _write(str(chart), draw(result))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(result)).decode())
    elif csv_file != "-":
        from engage.cli.liability_table import show

        show(open_console(pipe_width=PIPE_WIDTH), result)
    ctx.exit(0 if all(item.reconciled for item in result.items) else 1)


@report.command
@click.argument("member_id", metavar="MEMBER")
@_at
@click.option("--program", "program_id", metavar="ID", help="Only this program.")
@data_option
@_json
def balance(member_id: str, at: str | None, program_id: str | None, data: Path | None, as_json: bool) -> None:
    """Report the balances of one member."""
    balances = _run(data, lambda settings: report_balance(settings, member_id, at=at, program_id=program_id))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(balances)).decode())
        return
    console = open_console(pipe_width=PIPE_WIDTH)
    console.print(f"{member_id} at {msgspec.to_builtins(balances[0].at)}", markup=False)
    table = Table("program", box=box.SIMPLE_HEAD if console.is_terminal else None)
    for name in ("active", "pending", "held", "debt"):
        table.add_column(name, justify="right")
    for item in balances:
        points = (item.balance.active, item.balance.pending, item.balance.held, item.balance.debt)
        table.add_row(item.program, *(f"{number:,}" for number in points))
    console.print(table)


def _run(data: Path | None, work: Callable[[Settings], Awaitable[T]]) -> T:
    try:
        return run_with_settings(data, work)
    except InvalidPeriod as error:
        raise click.BadParameter(str(error), param_hint=f"--{error.field}") from None


def _write(file: str, text: str) -> None:
    try:
        with click.open_file(file, "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror or error}") from None
