"""`engage torture`: break an installation of its own, and check every promise from outside."""

import rich_click as click
import uvloop
from rich.console import Console

from engage.cli.screen import Screen
from engage.torture.plan import make_plan
from engage.torture.run import run


@click.command
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The plan follows from it."
)
@click.option("--minutes", type=click.FloatRange(min=0.1), default=2.0, show_default=True)
@click.pass_context
def torture(ctx: click.Context, seed: int, minutes: float) -> None:
    """Start a whole installation, let members use it while its parts are broken, and check its promises."""
    screen = Screen(Console(emoji=False, stderr=True, highlight=False))
    result = uvloop.run(run(make_plan(seed, minutes=minutes), report=screen.show))
    click.echo(f"{result.requests} requests, seed {result.plan.seed}, {result.folder}")
    for broken in result.broken:
        click.echo(f"broken: {broken.promise}: {broken.text}")
    ctx.exit(1 if result.broken else 0)
