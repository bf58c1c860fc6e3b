"""`engage keys`: keys with which the shop's servers and operators call the API."""

from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.table import Table

from engage.cli.options import data_option
from engage.cli.run import run_with_database
from engage.flows.operations.keys import create_key, list_keys, revoke_key
from engage.store.api_keys import Scope


@click.group
def keys() -> None:
    """Make, list and revoke keys of the shop's servers and of operators."""


@keys.command
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(["shop", "admin"]), required=True, help="The part of the API it opens."
)
@data_option
def create(name: str, scope: Scope, data: Path | None) -> None:
    """Make a key. It is shown only now, because only its hash is stored."""
    click.echo(run_with_database(data, lambda db: create_key(db, name=name, scopes=[scope])))


@keys.command(name="list")
@data_option
def list_(data: Path | None) -> None:
    """List all keys, oldest first, with revoked ones."""
    table = Table("id", "name", "scopes", "made", "revoked")
    for key in run_with_database(data, list_keys):
        made, revoked = (f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (key.created_at, key.revoked_at))
        table.add_row(key.id, key.name, ", ".join(key.scopes), made, revoked)
    Console().print(table)


@keys.command
@click.argument("key_id", metavar="ID")
@data_option
def revoke(key_id: str, data: Path | None) -> None:
    """Revoke a key by the id that `list` shows. A running API may accept it for five more seconds."""
    if not run_with_database(data, lambda db: revoke_key(db, key_id)):
        raise click.ClickException(f"there is no key {key_id} in use")
    click.echo(f"{key_id} is revoked")
