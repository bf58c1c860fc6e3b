"""`engage import`: members and their opening balances, from a CSV file."""

import asyncio
import re
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engage.domain.document.errors import DocumentError
from engage.domain.refusals import Refusal, Unavailable
from engage.embedded.installation import open_installation
from engage.flows.members.import_file import (
    COLUMNS,
    InvalidFile,
    RejectedFile,
    Table,
    check_file,
    import_name,
)
from engage.flows.members.import_members import ImportCounts, Rejections, import_members
from engage.runtime.services import follow_sandbox_clock, open_services

LINES_SHOWN = 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}")


@click.command(
    name="import",
    help=f"""Bring members and their opening balances from a CSV file, in UTF-8 and with a header.

    Columns: {", ".join(COLUMNS)}; member_id and country are needed. Points are active at once, and end at
    expires_at, or else as the program says of points that become active now; a date is a day in the member's
    country, and they end with it. Several card_numbers are separated by semicolons. Nothing is earned for
    registering.

    The import can be stopped at any moment and started again: under one name each member gets one opening
    balance. Rows that cannot be taken are told with their line and the reason, and are kept in
    FILE.rejected.csv, which can be put right and imported as it is. Exit status 1 when there are any.
    """,
)
@click.argument("file", metavar="FILE.csv", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--program", "program_id", required=True, metavar="ID", help="The program that they join.")
@click.option("--name", help="What the import is called, for ever. Without it, as the file.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="The installation's folder, running or not. Without it the URLs of the environment, or .engage.",
)
@click.pass_context
def import_(ctx: click.Context, file: Path, program_id: str, name: str | None, data: Path | None) -> None:
    name = import_name(file) if name is None else name
    if not _NAME.fullmatch(name):
        raise click.BadParameter(f"{name!r} is not of letters, digits, '.', '_' and '-', at most 48", ctx)
    console = Console(highlight=False, soft_wrap=True)
    try:
        table = check_file(file)
        kept = RejectedFile(table)
        counts = asyncio.run(_import(console, data, table, kept, program_id=program_id, name=name))
    except InvalidFile as problem:
        raise click.ClickException(f"{file}: {problem}") from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or file}: {error.strerror or error}") from None
    except Unavailable as away:
        part = away.facts["part"]
        raise click.ClickException(f"{part} does not answer; started again, the import goes on") from away
    except Refusal as refusal:
        raise click.ClickException(f"there is no program {refusal.facts['program']}") from None
    except DocumentError as error:
        raise click.ClickException(f"a published version cannot be read: {error}") from error
    _sum_up(console, counts, kept.path)
    ctx.exit(1 if counts.rejected else 0)


async def _import(
    console: Console, data: Path | None, table: Table, kept: RejectedFile, *, program_id: str, name: str
) -> ImportCounts:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rejected]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    told = _Told(console, bar, kept)
    async with (
        open_installation(data) as settings,
        open_services(settings, command_timeout_s=None) as services,
    ):
        await services.programs.refresh(services.db)
        await follow_sandbox_clock(services)
        with bar:
            told.task = bar.add_task(escape(table.path.name), total=table.rows, rejected="")
            return await import_members(
                services,
                table,
                program_id=program_id,
                name=name,
                on_rejected=told.reject,
                on_progress=told.progress,
            )


class _Told:
    """What is shown and kept while it goes on."""

    def __init__(self, console: Console, bar: Progress, kept: RejectedFile) -> None:
        self._console = console
        self._bar = bar
        self._kept = kept
        self._shown = 0
        self.task = bar.add_task("", total=None, visible=False, rejected="")

    def reject(self, rejected: Rejections) -> None:
        self._kept.add(rejected)
        for row, reason in rejected[: LINES_SHOWN - self._shown]:
            self._console.print(f"[red]line {row.line}[/] {escape(reason)}")
            self._shown += 1

    def progress(self, counts: ImportCounts) -> None:
        rejected = f"[red]{counts.rejected:,} rejected[/]" if counts.rejected else ""
        self._bar.update(self.task, completed=counts.rows, rejected=rejected)


def _sum_up(console: Console, counts: ImportCounts, kept: Path) -> None:
    console.print(
        f"{counts.rows:,} rows: [green]{counts.imported:,} imported[/], {counts.existing:,} there already, "
        + (f"[red]{counts.rejected:,} rejected[/]" if counts.rejected else "0 rejected")
    )
    console.print(f"{counts.members:,} new members, {counts.points:,} points")
    if counts.rejected > LINES_SHOWN:
        console.print(f"{counts.rejected - LINES_SHOWN:,} more reasons are in [bold]{escape(str(kept))}[/]")
    elif counts.rejected:
        console.print(f"the rejected rows are in [bold]{escape(str(kept))}[/]")
