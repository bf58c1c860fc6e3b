"""`engage segment`: lists of members for campaigns, from files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import rich_click as click
from rich.console import Console
from rich.markup import escape

from engage.cli.options import data_option
from engage.cli.output import progress_bar, utc_text
from engage.cli.run import run_with_services
from engage.decoding.csv_text import InvalidFile
from engage.domain.definitions.definition import DefinitionId
from engage.domain.document import decoding
from engage.flows.segments.change import SegmentChange
from engage.flows.segments.id_list import IDS_PER_FILE, IdList
from engage.flows.segments.replace_list import replace_list
from engage.runtime.services import Services
from engage.store.audit_log import COMMAND_LINE

_CHUNK_BYTES: Final = 1024 * 1024


@click.group()
def segment() -> None:
    """Lists of members, which campaigns can be for."""


@segment.command(
    name="import",
    help=f"""Replace the list of a segment by the member ids in a file, one a line.

    FILE is CSV of one column in UTF-8, with or without a header member_id, of {IDS_PER_FILE:,} ids at most.
    Those who are gone leave the segment, new ones enter it, and the others stay: all at once, or nothing if
    the import is stopped. A file with nothing but the header is a list of nobody.

    Lines without an id and ids of nobody are left out and shown by number, the first hundred of each. The
    exit status is 1 if there are any.
    """,
)
@click.argument("file", metavar="FILE.csv", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--program", "program_id", required=True, metavar="ID", help="The program of the members.")
@click.option("--segment", "segment_id", required=True, metavar="ID", help="The segment, known or new.")
@data_option
@click.pass_context
def import_(ctx: click.Context, file: Path, program_id: str, segment_id: str, data: Path | None) -> None:
    try:
        msgspec.convert(segment_id, DefinitionId)
    except msgspec.ValidationError:
        raise click.BadParameter(f"{segment_id!r} is not {decoding.expected(DefinitionId)}", ctx) from None
    progress = _Progress()
    with IdList(most=IDS_PER_FILE) as ids:
        try:
            progress.read(file, ids)
        except InvalidFile as problem:
            raise click.ClickException(f"{file}: {problem}") from None
        except OSError as error:
            raise click.ClickException(f"{error.filename or file}: {error.strerror or error}") from None

        async def replace(services: Services) -> SegmentChange:
            await services.programs.refresh(services.db)
            services.programs.get(program_id)
            return await replace_list(
                services.db,
                services.clock,
                (program_id, segment_id),
                ids,
                operator=COMMAND_LINE,
                on_step=progress.begin,
            )

        with progress.shown():
            replaced = run_with_services(data, replace, hint="; nothing has changed")
    _show(replaced)
    ctx.exit(1 if replaced.bad or replaced.unknown else 0)


class _Progress:
    """Shows on standard error what is being done: a bar on a terminal, else a line for each step."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, emoji=False, highlight=False, soft_wrap=True)
        self._bar = progress_bar(self._console)
        self._task = self._bar.add_task("", total=None)

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._bar:
            yield

    def begin(self, step: str) -> None:
        if self._console.is_terminal:
            self._bar.reset(self._task, total=None, description=step)
        else:
            self._console.print(step)

    def read(self, path: Path, ids: IdList) -> None:
        """Read a file of ids. Raises InvalidFile, OSError."""
        with path.open("rb") as file, self.shown():
            self.begin("reading, in MB")
            self._bar.update(self._task, total=-(-os.fstat(file.fileno()).st_size // 1_000_000))
            while chunk := file.read(_CHUNK_BYTES):
                ids.add(chunk)
                self._bar.update(self._task, completed=file.tell() // 1_000_000)
            ids.close()


def _show(replaced: SegmentChange) -> None:
    console = Console(emoji=False, highlight=False, soft_wrap=True)
    for bad in replaced.bad_lines:
        console.print(f"[red]line {bad.line}[/] {escape(bad.message)}")
    _show_more(console, replaced.bad_not_shown, "lines without an id")
    for unknown in replaced.unknown_ids:
        console.print(f"[red]line {unknown.line}[/] {escape(unknown.member_id)} is no member")
    _show_more(console, replaced.unknown_not_shown, "lines with an id of nobody")
    console.print(
        f"{replaced.members:,} members in {replaced.id}: [green]{replaced.added:,} added[/], "
        f"{replaced.removed:,} removed; {replaced.repeated:,} lines name one again, "
        f"{replaced.unknown:,} unknown, {replaced.bad:,} bad"
    )
    console.print(f"version {replaced.version}, in force from {utc_text(replaced.since, 'milliseconds')}")


def _show_more(console: Console, more: int, what: str) -> None:
    if more:
        console.print(f"[red]and {more:,} more[/] {what}")
