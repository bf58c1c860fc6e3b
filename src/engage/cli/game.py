"""`engage game`: check the certificates of instant wins. Needs no server and no network."""

from pathlib import Path

import msgspec
import rich_click as click

from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.games.certificate import summary, verify

PROBLEMS_SHOWN = 20

_anything = msgspec.json.Decoder()


@click.group()
def game() -> None:
    """Check the certificates of games that have ended."""


@game.command(name="verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def verify_file(ctx: click.Context, file: Path) -> None:
    """Compute all outcomes of a game again from its certificate alone.

    The exit status is 0 if the commitment, the seed and every play agree, and 1 with what is wrong.
    """
    try:
        found = decode_json(file.read_bytes(), _anything)
    except OSError as error:
        problems, found = [f"cannot be read: {(error.strerror or str(error)).lower()}"], None
    except Malformed as error:
        problems, found = [f"no JSON: {error}"], None
    else:
        problems = verify(found)
    for problem in problems[:PROBLEMS_SHOWN]:
        click.secho(f"{file}: {problem}", fg="red", err=True)
    if len(problems) > PROBLEMS_SHOWN:
        click.secho(f"{file}: {len(problems) - PROBLEMS_SHOWN} more problems", fg="red", err=True)
    if problems:
        ctx.exit(1)
    for line in summary(found):
        click.echo(line)
