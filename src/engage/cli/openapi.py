"""`engage openapi`: write the HTTP contract to a file, or check the file."""

import difflib
from pathlib import Path

import rich_click as click

DEFAULT_FILE = Path("openapi/engage.yaml")
LINES_SHOWN = 60


@click.command
@click.option("--check", is_flag=True, help="Only compare. On a difference, show it and exit with 1.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_FILE,
    show_default=True,
    help="File of the contract.",
)
def openapi(check: bool, file: Path) -> None:
    """Write the contract of the code, with the sandbox, as OpenAPI 3.1."""
    from engage.api.contract.openapi import as_yaml, document
    from engage.api.controllers import controllers

    generated = as_yaml(document(controllers(sandbox=True)))
    if not check:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(generated, encoding="utf-8")
        click.echo(f"{file}: {len(generated.splitlines())} lines")
        return
    current = file.read_text(encoding="utf-8") if file.exists() else ""
    drift = list(
        difflib.unified_diff(
            current.splitlines(), generated.splitlines(), str(file), "the code", lineterm="", n=2
        )
    )
    if drift:
        click.echo("\n".join(drift[:LINES_SHOWN]))
        raise click.ClickException(f"{file} differs from the code; `engage openapi` writes it")
    click.echo(f"{file} agrees with the code")
