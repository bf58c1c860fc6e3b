"""`engage pseudonym`: the name that a member has in the logs."""

from pathlib import Path

import rich_click as click

from engage.cli.options import data_option
from engage.cli.run import run_with_settings
from engage.logs.pseudonyms import Pseudonyms
from engage.settings import Settings, require_pepper


@click.command
@click.argument("program")
@click.argument("member")
@data_option
def pseudonym(program: str, member: str, data: Path | None) -> None:
    """Print the name that a MEMBER of a PROGRAM has in the logs, to search them with.

    Below it are those of before, where the pepper was rotated.
    """

    async def compute(settings: Settings) -> str:
        require_pepper(settings)
        return "\n".join(Pseudonyms(pepper).of(program, member) for pepper in settings.peppers)

    click.echo(run_with_settings(data, compute))
