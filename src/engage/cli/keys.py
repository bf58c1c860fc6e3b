"""`engage keys`: keys with which the shop's servers and operators call the API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Console
from rich.table import Table

from engage.cli.options import data_option
from engage.cli.run import run
from engage.embedded.installation import open_installation

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from engage.store.api_keys import ListedKey, Scope


@click.group
def keys() -> None:
    """Make, list and revoke keys of the shop's servers and of operators."""


@keys.command
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(["shop", "admin"]), required=True, help="The part of the API it opens."
)
@data_option
def create(name: str, scope: "Scope", data: Path | None) -> None:
    """Make a key. It is shown only now, because only its hash is stored."""
    click.echo(run(_create(data, name, scope)))


@keys.command(name="list")
@data_option
def list_(data: Path | None) -> None:
    """List all keys, oldest first, with revoked ones."""
    table = Table("id", "name", "scopes", "made", "revoked")
    for key in run(_list(data)):
        made, revoked = (f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (key.created_at, key.revoked_at))
        table.add_row(key.id, key.name, ", ".join(key.scopes), made, revoked)
    Console().print(table)


@keys.command
@click.argument("key_id", metavar="ID")
@data_option
def revoke(key_id: str, data: Path | None) -> None:
    """Revoke a key by the id that `list` shows. A running API may accept it for five more seconds."""
    if not run(_revoke(data, key_id)):
        raise click.ClickException(f"there is no key {key_id} in use")
    click.echo(f"{key_id} is revoked")


@asynccontextmanager
async def _database(data: Path | None) -> "AsyncIterator[AsyncEngine]":
    from engage.runtime.database import open_database

    async with open_installation(data) as settings:
        db = open_database(settings.database_url, pool_size=1)
        try:
            yield db
        finally:
            await db.dispose()


async def _create(data: Path | None, name: str, scope: "Scope") -> str:
    from engage.flows.operations.keys import create_key

    async with _database(data) as db:
        return await create_key(db, name=name, scopes=[scope])


async def _list(data: Path | None) -> "list[ListedKey]":
    from engage.flows.operations.keys import list_keys

    async with _database(data) as db:
        return await list_keys(db)


async def _revoke(data: Path | None, key_id: str) -> bool:
    from engage.flows.operations.keys import revoke_key

    async with _database(data) as db:
        return await revoke_key(db, key_id)
