"""`engage campaign`: check, push, compare and export campaigns. Only checking needs no server."""

from collections.abc import Sequence
from pathlib import Path

import rich_click as click

from engage import programs as presets
from engage.cli.documents import (
    counted,
    read_document,
    show_failures,
    show_outcome,
    show_problems,
)
from engage.cli.options import data_option
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.parse import parse_json, parse_toml, value_of
from engage.domain.campaigns.partial import partial_campaign
from engage.domain.campaigns.surroundings import Surroundings
from engage.domain.campaigns.validation import problems
from engage.domain.document.decoding import JSON as JSON_NOTATION
from engage.domain.document.decoding import TOML as TOML_NOTATION
from engage.domain.document.decoding import Notation
from engage.domain.document.errors import DocumentError, Problem, nearest, shown
from engage.domain.playback import campaign_examples
from engage.domain.program import parse
from engage.domain.program.program import Program

TOML, JSON = ".toml", ".json"

one_file = click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def campaign() -> None:
    """Check, push, compare and export campaigns: documents in TOML or JSON, by the end of the file's name."""


@campaign.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--program",
    "of_programs",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A version of the campaigns' program. Give them all; the default are the presets.",
)
@click.pass_context
def check(ctx: click.Context, files: tuple[Path, ...], of_programs: tuple[Path, ...]) -> None:
    """Show each mistake in documents with its place, and play their examples.

    Campaigns are checked beside each other and beside their program. A server knows more: segments, and what
    operators have added. `push` checks these too. The exit status is 1 if anything is wrong.
    """
    versions = [(file, _program(file)) for file in of_programs]
    known = [version for _, version in versions if version is not None] or _presets()
    documents = [(file, document) for file in files if (document := read_campaign(file, known)) is not None]
    valid = len(documents) == len(files) and all(version is not None for _, version in versions)
    for file, document in documents:
        others = [other for _, other in documents if other.id != document.id]
        valid &= _check(file, document, known, others)
    ctx.exit(0 if valid else 1)


@campaign.command()
@one_file
@data_option
@click.pass_context
def push(ctx: click.Context, file: Path, data: Path | None) -> None:
    """Write a campaign on the server, or change it there. What is in force stays in force.

    A draft is changed in place; beside anything beyond a draft the next version begins. An operator submits
    it, and another one approves it.
    """
    from engage.cli.campaign_server import push_document

    document = read_campaign(file)
    ctx.exit(0 if document is not None and push_document(file, document, data) else 1)


@campaign.command()
@one_file
@data_option
@click.pass_context
def diff(ctx: click.Context, file: Path, data: Path | None) -> None:
    """Show the fields in which a document differs from the newest version on the server.

    The exit status is 1 if there are any.
    """
    from engage.cli.campaign_server import compare_document

    document = read_campaign(file)
    ctx.exit(0 if document is not None and compare_document(document, data) else 1)


@campaign.command()
@one_file
@click.option("--campaign", "campaign_id", metavar="ID", help="The default is the name of the file.")
@click.option(
    "--program", "program_id", metavar="ID", help="Needed where several programs have the campaign."
)
@click.option("--version", type=click.IntRange(min=1), help="The default is the newest.")
@data_option
@click.pass_context
def export(
    ctx: click.Context,
    file: Path,
    campaign_id: str | None,
    program_id: str | None,
    version: int | None,
    data: Path | None,
) -> None:
    """Write the document of a campaign on the server to a file."""
    from engage.cli.campaign_server import export_document

    wanted = campaign_id or file.stem
    done = _has_suffix(file) and export_document(file, wanted, data, program_id=program_id, version=version)
    ctx.exit(0 if done else 1)


def read_campaign(file: Path, known: Sequence[Program] = ()) -> Campaign | None:
    """Return the campaign of a file, or show its problems and return None: those of its types, and of what is
    valid of it beside the versions of programs that are `known`.
    """
    if not _has_suffix(file):
        return None
    parse_text, notation = (parse_json, JSON_NOTATION) if file.suffix == JSON else (parse_toml, TOML_NOTATION)

    def parsed(text: str) -> Campaign:
        try:
            return parse_text(text, source=str(file))
        except DocumentError as error:
            value = value_of(text, notation=notation)
            raise DocumentError(error.source, [*error.problems, *_rest(value, notation, known)]) from None

    return read_document(file, parsed)


def _rest(value: object, notation: Notation, known: Sequence[Program]) -> list[Problem]:
    """The problems of what is valid of a document."""
    partial = partial_campaign(value, notation=notation)
    versions = [] if partial is None else _versions(partial.campaign.program, known)
    if partial is None or not versions:
        return []
    return partial.shown(problems(partial.campaign, Surroundings(programs=versions)))


def _versions(program_id: str, known: Sequence[Program]) -> list[Program]:
    versions = (version for version in known if version.id == program_id)
    return sorted(versions, key=lambda version: version.in_force_from)


def _has_suffix(file: Path) -> bool:
    """Tell whether a file's name says what its document is written in, or show that it does not."""
    known = file.suffix in (TOML, JSON)
    if not known:
        show_problems(
            file, [Problem("the file", f"a name that ends with {TOML} or {JSON}", shown(file.name))]
        )
    return known


def _program(file: Path) -> Program | None:
    return read_document(file, lambda text: parse.parse(text, source=str(file)))


def _presets() -> list[Program]:
    return [presets.read(name) for name in presets.names()]


def _check(file: Path, document: Campaign, known: Sequence[Program], others: Sequence[Campaign]) -> bool:
    """Show what is wrong with a document. Return True if nothing is."""
    versions = _versions(document.program, known)
    if not versions:
        hint = nearest(document.program, {version.id for version in known})
        show_problems(file, [Problem("program", "the id of a program", shown(document.program) + hint)])
        return False
    beside = [other for other in others if other.program == document.program]
    found = problems(document, Surroundings(programs=versions, campaigns=beside))
    if found:
        show_problems(file, found)
        return False
    failures = campaign_examples.check(document, versions)
    countries = {country: market for version in versions for country, market in version.countries.items()}
    show_failures(file, failures, lambda index: countries[document.examples[index].country].currency)
    what = f"{document.id}: {counted(len(document.boosts), 'boost')}"
    return show_outcome(what, len(document.examples), failures)
