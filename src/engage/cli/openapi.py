"""`engage openapi`: the HTTP contract, written to a file, or checked against it."""

import difflib
from pathlib import Path

import rich_click as click

DEFAULT_FILE = Path("openapi/engage.yaml")
LINES_SHOWN = 60


@click.command
@click.option("--check", is_flag=True, help="Write nothing; exit 1 and show the difference if there is one.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_FILE,
    show_default=True,
    help="Where the contract is kept.",
)
def openapi(check: bool, file: Path) -> None:
    """Write the contract that the code has, sandbox included, as OpenAPI 3.1."""
    from engage.api.app import controllers
    from engage.api.openapi import as_yaml, document

    made = as_yaml(document(controllers(sandbox=True)))
    if not check:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(made, encoding="utf-8")
        click.echo(f"{file}: {len(made.splitlines())} lines")
        return
    kept = file.read_text(encoding="utf-8") if file.exists() else ""
    drift = list(
        difflib.unified_diff(kept.splitlines(), made.splitlines(), str(file), "the code", lineterm="", n=2)
    )
    if drift:
        click.echo("\n".join(drift[:LINES_SHOWN]))
        raise click.ClickException(f"{file} is not what the code says; `engage openapi` writes it")
    click.echo(f"{file} is what the code says")
