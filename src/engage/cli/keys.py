"""`engage keys`: keys with which the shop's servers and operators call the API."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, get_args

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engage.cli.options import data_option
from engage.cli.run import run_with_database
from engage.flows.operations.keys import bind_key, create_key, list_keys, revoke_key
from engage.store.api_keys import Scope

_PROGRAM_ID: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


@click.group
def keys() -> None:
    """Make, list, bind and revoke keys of the shop's servers and of operators."""


def programs_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which programs a key opens."""
    one = click.option(
        "--program", "programs", multiple=True, help="A program that it opens. Repeat for more."
    )
    every = click.option(
        "--all-programs", is_flag=True, help="It opens every program, those to come included."
    )
    return one(every(command))


@keys.command
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(get_args(Scope)), required=True, help="The part of the API it opens."
)
@programs_options
@data_option
def create(name: str, scope: Scope, programs: tuple[str, ...], all_programs: bool, data: Path | None) -> None:
    """Make a key. It is shown only now, because only its hash is stored."""
    opened = opened_programs(programs, all_programs=all_programs)
    click.echo(run_with_database(data, lambda db: create_key(db, name=name, scopes=[scope], programs=opened)))


@keys.command(name="list")
@data_option
def list_(data: Path | None) -> None:
    """List all keys, oldest first, with revoked ones."""
    table = Table("id", "name", "scopes", "programs", "made", "revoked")
    for key in run_with_database(data, list_keys):
        made, revoked = (f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (key.created_at, key.revoked_at))
        programs = "all" if key.programs is None else ", ".join(key.programs)
        table.add_row(key.id, escape(key.name), ", ".join(key.scopes), programs, made, revoked)
    Console(emoji=False).print(table)


@keys.command
@click.argument("key_id", metavar="ID")
@programs_options
@data_option
def bind(key_id: str, programs: tuple[str, ...], all_programs: bool, data: Path | None) -> None:
    """Set the programs of a key by the id that `list` shows. A running API may go by the old ones for five
    more seconds.
    """
    opened = opened_programs(programs, all_programs=all_programs)
    if not run_with_database(data, lambda db: bind_key(db, key_id, opened)):
        raise click.ClickException(f"there is no key {key_id} in use")
    click.echo(f"{key_id} opens {'every program' if opened is None else ', '.join(opened)}")


@keys.command
@click.argument("key_id", metavar="ID")
@data_option
def revoke(key_id: str, data: Path | None) -> None:
    """Revoke a key by the id that `list` shows. A running API may accept it for five more seconds."""
    if not run_with_database(data, lambda db: revoke_key(db, key_id)):
        raise click.ClickException(f"there is no key {key_id} in use")
    click.echo(f"{key_id} is revoked")


def opened_programs(programs: tuple[str, ...], *, all_programs: bool) -> list[str] | None:
    """Return the programs of a key, None for every program. Raises click.UsageError."""
    if all_programs == bool(programs):
        raise click.UsageError("name the programs of the key with --program, or say --all-programs")
    wrong = [program for program in programs if not _PROGRAM_ID.fullmatch(program)]
    if wrong:
        raise click.UsageError(f"no id of a program: {', '.join(wrong)}")
    return None if all_programs else list(dict.fromkeys(programs))
