"""The command `engage`. Subcommands are imported when they are run, so that asking for help is fast."""

import importlib
from collections.abc import Sequence
from typing import Any

import rich_click as click

from engage.embedded.errors import InstallationError
from engage.settings import SettingsError

# Name: where the command is, and its line in the list. In the order of the list.
COMMANDS = {
    "up": ("engage.cli.up:up", "Run everything on this machine."),
    "program": ("engage.cli.program:program", "Check and show program documents."),
    "keys": ("engage.cli.keys:keys", "Make and revoke keys of the shop and of operators."),
    "audit": ("engage.cli.audit:audit", "Prove that every point is accounted for."),
    "payouts": ("engage.cli.payouts:payouts", "Compare withdrawals with what the provider paid."),
    "rebuild": ("engage.cli.audit:rebuild", "Make Valkey's state again from PostgreSQL."),
    "report": ("engage.cli.report:report", "Tell finance what points are owed, at any past instant."),
    "import": ("engage.cli.import_:import_", "Bring members and opening balances from a CSV file."),
    "api": ("engage.cli.parts:api", "Serve the HTTP API."),
    "feed": ("engage.cli.parts:feed", "Serve the websocket feed."),
    "worker": ("engage.cli.parts:worker", "Settle what falls due."),
    "migrate": ("engage.cli.parts:migrate", "Bring the database's tables up to date."),
    "bench": ("engage.cli.bench:bench", "Measure this machine."),
    "openapi": ("engage.cli.openapi:openapi", "Write the HTTP contract."),
}
PANELS = {
    "On one machine": ["up"],
    "Programs and points": ["program", "keys", "audit", "payouts", "rebuild", "report", "import"],
    "Parts, one by one, on the URLs of the environment": ["api", "feed", "worker", "migrate"],
    "For developers": ["bench", "openapi"],
}


class Lazy(click.RichGroup):
    """Lists its commands from the table above, and imports the one that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        _, line = COMMANDS[cmd_name]
        return click.RichCommand(name=cmd_name, short_help=line, help=line)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        assert name is not None  # Anything else has been refused.
        return name, load(name), rest

    def invoke(self, ctx: click.Context) -> Any:
        """What is expected to go wrong is told in one line, whichever command it went wrong in."""
        try:
            return super().invoke(ctx)
        except (InstallationError, SettingsError) as error:
            click.echo(f"engage: {error}", err=True)
            ctx.exit(1)


def load(name: str) -> click.Command:
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, click.Command)
    return found


def _panels(group: click.RichGroup) -> click.RichGroup:
    for name, commands in PANELS.items():
        group.panels.append(click.RichCommandPanel(name, commands=commands))
    return group


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="engage", message="%(version)s")
def main() -> None:
    """Loyalty points that are durable in milliseconds, provable for ever, and live on every screen."""


_panels(main)
__all__: Sequence[str] = ["main"]
