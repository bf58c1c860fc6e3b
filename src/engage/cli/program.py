"""`engage program`: check, show and publish program documents. Only publishing needs a server."""

from collections.abc import Sequence
from pathlib import Path

import rich_click as click

from engage import programs
from engage.cli.documents import counted, read_document, show_failures, show_outcome, show_problems
from engage.cli.options import data_option
from engage.domain.playback import examples
from engage.domain.program import parse, versions
from engage.domain.program.program import Program


@click.group()
def program() -> None:
    """Check, show and publish program documents: the rules of a program in TOML."""


@program.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.pass_context
def check(ctx: click.Context, files: tuple[Path, ...]) -> None:
    """Show each mistake in documents with its place, and play their examples.

    Give the versions of a program together: they are also checked against each other. The exit status is 1 if
    anything is wrong.
    """
    documents = [(file, document) for file in files if (document := _read(file)) is not None]
    valid = len(documents) == len(files)
    for file, document in documents:
        valid &= _play(file, document)
    valid &= _check_versions(documents)
    ctx.exit(0 if valid else 1)


def _read(file: Path) -> Program | None:
    """Return the program of a file, or show its problems and return None."""
    return read_document(file, lambda text: parse.parse(text, source=str(file)))


def _play(file: Path, document: Program) -> bool:
    failures = examples.check(document)
    show_failures(file, failures, lambda index: document.countries[document.examples[index].country].currency)
    what = f"{document.id} {document.version}: {counted(len(document.rules), 'rule')}"
    return show_outcome(what, len(document.examples), failures)


def _check_versions(documents: Sequence[tuple[Path, Program]]) -> bool:
    """Show conflicts between the versions of each program. Return True if there are none."""
    valid = True
    for program_id in dict.fromkeys(document.id for _, document in documents):
        of_program = [(file, document) for file, document in documents if document.id == program_id]
        by_age = sorted(of_program, key=lambda document: document[1].in_force_from)
        for version, problem in versions.conflicts([document for _, document in by_age]):
            show_problems(next(file for file, document in by_age if document is version), [problem])
            valid = False
    return valid


@program.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@data_option
@click.pass_context
def publish(ctx: click.Context, file: Path, data: Path | None) -> None:
    """Publish a document. It is in force from its start date.

    It has to pass `check` together with the versions that are published. A published version never changes:
    to change a rule, publish another version.
    """
    from engage.cli.publish import publish_file

    document = _read(file)
    ctx.exit(0 if document is not None and publish_file(file, data) else 1)


@program.command()
@click.argument("ids", nargs=-1, metavar="[PROGRAM]...")
@click.option("--publish", "publishing", is_flag=True, help="Publish what is shown.")
@data_option
@click.pass_context
def upgrade(ctx: click.Context, ids: tuple[str, ...], publishing: bool, data: Path | None) -> None:
    """Show how published presets of an older release differ from this one's, and publish the new rules.

    A published version never changes: the rules of this release become another version, which is in force
    from the next day that has not begun anywhere. Without PROGRAM, all presets that are older.
    """
    from engage.cli.upgrade import upgrade_presets

    ctx.exit(0 if upgrade_presets(ids, data, publishing=publishing) else 1)


@program.command()
@click.argument("which", required=False, metavar="[FILE or PRESET]")
def show(which: str | None) -> None:
    """Show a program: its countries, rules, rewards, and when points are active and expire.

    PRESET is a name from `engage program list`, or a program's id for its newest version. The default is the
    newest version of every preset.
    """
    from engage.cli.program_tables import show as show_program  # `check` needs no tables.

    ids = dict.fromkeys(name.partition("/")[0] for name in programs.names())
    for document in [_find(which)] if which else map(programs.preset, ids):
        show_program(document)


def _find(which: str) -> Program:
    file = Path(which)
    if file.suffix == ".toml" or file.is_file():
        document = _read(file)
        if document is None:
            raise SystemExit(1)
        return document
    try:
        return programs.preset(which)
    except programs.UnknownPreset:
        names = ", ".join(programs.names())
        raise click.ClickException(f"no file and no preset is called {which}; presets: {names}") from None


@program.command("list")
def list_() -> None:
    """List the presets: the documents that come with engage."""
    from engage.cli.program_tables import show_list

    show_list([(name, programs.preset(name)) for name in programs.names()])


@program.command()
def schema() -> None:
    """Print the JSON Schema of program documents, for editors.

    With taplo or Even Better TOML, save it as program.schema.json and start the document with the line
    `#:schema ./program.schema.json`.
    """
    import json

    click.echo(json.dumps(parse.schema(), indent=2))
