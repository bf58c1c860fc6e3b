"""`engage import`: import members and their opening balances from a CSV file."""

import re
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TextColumn, TimeRemainingColumn

from engage.cli.options import data_option
from engage.cli.output import progress_bar
from engage.cli.run import run_with_services
from engage.decoding.csv_text import InvalidFile
from engage.flows.members.import_file import COLUMNS, RejectedFile, Table, check_file, import_name
from engage.flows.members.import_members import ImportCounts, import_members
from engage.flows.members.import_rows import Rejections
from engage.runtime.services import Services
from engage.settings import require_pepper

REASONS_SHOWN = 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}")


@click.command(
    name="import",
    help=f"""Import members and their opening balances from a CSV file in UTF-8 with a header.

    Columns: {", ".join(COLUMNS)}. member_id and country are required. Points are active at once. They expire
    at expires_at, or else like points that become active now. A date means the end of that day in the
    member's country. Separate several card_numbers with semicolons. Members earn nothing for this
    registration.

    You can stop the import at any moment and start it again: under one name each member gets one opening
    balance. Rejected rows are shown with line and reason and written to FILE.rejected.csv, which you can
    correct and import. The exit status is 1 if there are any.
    """,
)
@click.argument("file", metavar="FILE.csv", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--program", "program_id", required=True, metavar="ID", help="The program that the members join."
)
@click.option("--name", help="The permanent name of the import. The default is the name of the file.")
@data_option
@click.pass_context
def import_(ctx: click.Context, file: Path, program_id: str, name: str | None, data: Path | None) -> None:
    name = import_name(file) if name is None else name
    if not _NAME.fullmatch(name):
        raise click.BadParameter(
            f"{name!r} has other characters than letters, digits, '.', '_' and '-', or more than 48", ctx
        )
    console = Console(emoji=False, highlight=False, soft_wrap=True)
    try:
        table = check_file(file)
        rejected = RejectedFile(table)
        counts = run_with_services(
            data,
            lambda services: _import(services, console, table, rejected, program_id=program_id, name=name),
            hint="; started again, the import continues",
        )
    except InvalidFile as problem:
        raise click.ClickException(f"{file}: {problem}") from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or file}: {error.strerror or error}") from None
    _show_summary(console, counts, rejected.path)
    ctx.exit(1 if counts.rejected else 0)


async def _import(
    services: Services, console: Console, table: Table, rejected: RejectedFile, *, program_id: str, name: str
) -> ImportCounts:
    bar = progress_bar(console, TextColumn("{task.fields[rejected]}"), TimeRemainingColumn())
    display = _Display(console, bar, rejected)
    require_pepper(services.settings)
    await services.programs.refresh(services.db)
    with bar:
        display.task = bar.add_task(escape(table.path.name), total=table.rows, rejected="")
        return await import_members(
            services,
            table,
            program_id=program_id,
            name=name,
            on_rejected=display.reject,
            on_progress=display.show_progress,
        )


class _Display:
    """Shows the progress and the first reasons, and writes the file of rejected rows."""

    def __init__(self, console: Console, bar: Progress, file: RejectedFile) -> None:
        self._console = console
        self._bar = bar
        self._file = file
        self._shown = 0
        self.task = bar.add_task("", total=None, visible=False, rejected="")

    def reject(self, rejected: Rejections) -> None:
        self._file.add(rejected)
        for row, reason in rejected[: REASONS_SHOWN - self._shown]:
            self._console.print(f"[red]line {row.line}[/] {escape(reason)}")
            self._shown += 1

    def show_progress(self, counts: ImportCounts) -> None:
        rejected = f"[red]{counts.rejected:,} rejected[/]" if counts.rejected else ""
        self._bar.update(self.task, completed=counts.rows, rejected=rejected)


def _show_summary(console: Console, counts: ImportCounts, rejected: Path) -> None:
    console.print(
        f"{counts.rows:,} rows: [green]{counts.imported:,} imported[/], {counts.existing:,} already there, "
        + (f"[red]{counts.rejected:,} rejected[/]" if counts.rejected else "0 rejected")
    )
    console.print(f"{counts.members:,} new members, {counts.points:,} points")
    if counts.rejected > REASONS_SHOWN:
        console.print(
            f"{counts.rejected - REASONS_SHOWN:,} more reasons are in [bold]{escape(str(rejected))}[/]"
        )
    elif counts.rejected:
        console.print(f"the rejected rows are in [bold]{escape(str(rejected))}[/]")
