"""`engage program`: checking, showing and publishing program documents. Only publishing needs a server."""

from collections.abc import Sequence
from pathlib import Path

import rich_click as click

from engage import programs
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.playback import examples
from engage.domain.program import parse, versions
from engage.domain.program.program import Program


@click.group()
def program() -> None:
    """Check, show and publish program documents, the rules of a program as TOML."""


@program.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.pass_context
def check(ctx: click.Context, files: tuple[Path, ...]) -> None:
    """Say where and why documents are wrong, and play their examples.

    Versions of one program are also checked against each other, so give them together. Exit status 1 when
    anything is wrong.
    """
    read = [(file, found) for file in files if (found := _read(file)) is not None]
    sound = len(read) == len(files)
    for file, found in read:
        sound &= _play(file, found)
    sound &= _compare(read)
    ctx.exit(0 if sound else 1)


def _read(file: Path) -> Program | None:
    """The program of a file, or None once its problems have been told."""
    try:
        return parse.parse(file.read_text(encoding="utf-8"), source=str(file))
    except DocumentError as error:
        _tell(file, error.problems)
    except OSError as error:
        _tell(file, [Problem("the file", "a document", (error.strerror or str(error)).lower())])
    except UnicodeDecodeError as error:
        found = f"byte {error.object[error.start]:#04x} at offset {error.start}"
        _tell(file, [Problem("the file", "text in UTF-8", found)])
    return None


def _play(file: Path, found: Program) -> bool:
    failures = examples.check(found)
    for failure in failures:
        _say_wrong(f"{file}: {failure}")
        for line in failure.trace:
            click.echo(f"    {line}")
    failed = len({failure.index for failure in failures})
    played = _count(len(found.examples), "example")
    outcome = f"{failed} not as expected" if failed else "all as expected"
    outcome = outcome if found.examples else "nothing proves it"
    rules = _count(len(found.rules), "rule")
    click.secho(f"{found.id} {found.version}: {rules}, {played}, {outcome}", fg="red" if failed else "green")
    return not failures


def _compare(read: Sequence[tuple[Path, Program]]) -> bool:
    """Tells what is wrong between the versions of each program; true when nothing is."""
    sound = True
    for program_id in dict.fromkeys(found.id for _, found in read):
        of_program = [(file, found) for file, found in read if found.id == program_id]
        by_age = sorted(of_program, key=lambda each: each[1].in_force_from)
        for version, problem in versions.conflicts([found for _, found in by_age]):
            _tell(next(file for file, found in by_age if found is version), [problem])
            sound = False
    return sound


def _tell(file: Path, problems: Sequence[Problem]) -> None:
    for problem in problems:
        _say_wrong(f"{file}: {problem}")


def _say_wrong(line: str) -> None:
    where, expected, what = line.partition(": expected ")
    click.echo(click.style(where, fg="red") + expected + what)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@program.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="The installation's folder, running or not.",
)
@click.pass_context
def publish(ctx: click.Context, file: Path, data: Path | None) -> None:
    """Put a document in force from its day on. It has to pass `check` first, against what is published too.

    A published version never changes: to change a rule, publish another version.
    """
    from engage.cli.publish import publish_file

    found = _read(file)
    ctx.exit(0 if found is not None and publish_file(file, data) else 1)


@program.command()
@click.argument("which", required=False, metavar="[FILE or PRESET]")
def show(which: str | None) -> None:
    """Show a program: its countries, rules, limits, points, and when they are active and end.

    PRESET is a name from `engage program list`, or a program's id for its newest version. Without it, the
    newest version of every preset is shown.
    """
    from engage.cli.program_view import show as show_program  # A check has no use for tables.

    ids = dict.fromkeys(name.partition("/")[0] for name in programs.names())
    for found in [_find(which)] if which else map(programs.preset, ids):
        show_program(found)


def _find(which: str) -> Program:
    file = Path(which)
    if file.suffix == ".toml" or file.is_file():
        found = _read(file)
        if found is None:
            raise SystemExit(1)
        return found
    try:
        return programs.preset(which)
    except programs.UnknownPreset:
        names = ", ".join(programs.names())
        raise click.ClickException(f"no file and no preset is called {which}; presets: {names}") from None


@program.command("list")
def list_() -> None:
    """List the presets: the documents that come with engage."""
    from engage.cli.program_view import show_list

    show_list([(name, programs.preset(name)) for name in programs.names()])


@program.command()
def schema() -> None:
    """Print the JSON Schema of program documents, for editors.

    With taplo or Even Better TOML, keep it as program.schema.json and begin the document with the line
    `#:schema ./program.schema.json`.
    """
    import json

    click.echo(json.dumps(parse.schema(), indent=2))
