"""`engage openapi`: write the HTTP contract and the schemas of documents to files, or check the files.

An API serves the contract from files of its package: `engage.api.contract.built`.
"""

import difflib
import json
from collections.abc import Iterator
from pathlib import Path

import rich_click as click

DEFAULT_FILE = Path("openapi/engage.yaml")
DEFAULT_BUILT = Path("src/engage/api/contract/built")
LINES_SHOWN = 60
LINE_SHOWN = 200


@click.command
@click.option("--check", is_flag=True, help="Only compare. On a difference, show it and exit with 1.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_FILE,
    show_default=True,
    help="File of the contract. The schemas are beside it.",
)
@click.option(
    "--built",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_BUILT,
    show_default=True,
    help="Folder of the contracts that an API serves, with the sandbox and without.",
)
def openapi(check: bool, file: Path, built: Path) -> None:
    """Write the contract of the code, with the sandbox, as OpenAPI 3.1, and the JSON Schemas of documents."""
    differ = [
        path
        for path, text in _generated(file, built)
        if not (_agrees(path, text) if check else _write(path, text))
    ]
    if differ:
        names = ", ".join(map(str, differ))
        raise click.ClickException(f"{names} differ from the code; `engage openapi` writes them")


def _generated(file: Path, built: Path) -> Iterator[tuple[Path, str]]:
    from engage.api.contract.built import as_json, name_of
    from engage.api.contract.openapi import as_yaml, document
    from engage.api.controllers import controllers
    from engage.domain.campaigns import parse as campaigns
    from engage.domain.program import parse as programs

    made = {sandbox: document(controllers(sandbox=sandbox)) for sandbox in (True, False)}
    yield file, as_yaml(made[True])
    for sandbox, contract in made.items():
        yield built / name_of(sandbox=sandbox), as_json(contract)
    for name, schema in (("program", programs.schema()), ("campaign", campaigns.schema())):
        yield file.parent / f"{name}.schema.json", json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _write(file: Path, text: str) -> bool:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    click.echo(f"{file}: {len(text.splitlines())} lines")
    return True


def _agrees(file: Path, text: str) -> bool:
    """Show how a file differs from the code."""
    current = file.read_text(encoding="utf-8") if file.exists() else ""
    lines = difflib.unified_diff(
        current.splitlines(), text.splitlines(), str(file), "the code", lineterm="", n=2
    )
    drift = list(lines)
    if drift:
        click.echo("\n".join(line[:LINE_SHOWN] for line in drift[:LINES_SHOWN]))
        return False
    click.echo(f"{file} agrees with the code")
    return True
