"""The command line `engage`: one module for each command. May import everything else.

A command is imported when it is run, so that `engage --help` is fast.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import rich_click as click

from engage.embedded.errors import InstallationError
from engage.settings import SettingsError

# Each command with its module and its line in the help, in the order of the help.
COMMANDS = {
    "up": ("engage.cli.up:up", "Run everything on this machine."),
    "program": ("engage.cli.program:program", "Check and show program documents."),
    "campaign": ("engage.cli.campaign:campaign", "Check, push and export campaigns."),
    "keys": ("engage.cli.keys:keys", "Make and revoke keys of the shop and of operators."),
    "operators": ("engage.cli.operators:operators", "Create and reset operators of the console."),
    "audit": ("engage.cli.audit:audit", "Prove that every point is accounted for."),
    "draw": ("engage.cli.draw:draw", "Check the certificate of a draw."),
    "payouts": ("engage.cli.payouts:payouts", "Compare withdrawals with what the provider paid."),
    "game": ("engage.cli.game:game", "Check the certificates of games."),
    "rebuild": ("engage.cli.audit:rebuild", "Load Valkey's state from PostgreSQL."),
    "report": ("engage.cli.report:report", "Report what points are owed, at any past instant."),
    "import": ("engage.cli.import_:import_", "Import members and opening balances from a CSV file."),
    "segment": ("engage.cli.segment:segment", "Import lists of members for campaigns from CSV files."),
    "doctor": ("engage.cli.doctor:doctor", "Say what is wrong with an installation, and what to do."),
    "pseudonym": ("engage.cli.pseudonym:pseudonym", "Show the name that a member has in the logs."),
    "top": ("engage.cli.top.command:top", "Show what an installation does now."),
    "api": ("engage.cli.processes:api", "Serve the HTTP API."),
    "feed": ("engage.cli.processes:feed", "Serve the websocket feed."),
    "worker": ("engage.cli.processes:worker", "Do the work that is due, such as settlement."),
    "migrate": ("engage.cli.migrate:migrate", "Update the database's tables."),
    "bench": ("engage.cli.bench:bench", "Measure this machine."),
    "torture": ("engage.cli.torture:torture", "Break an installation and check its promises."),
    "openapi": ("engage.cli.openapi:openapi", "Write the HTTP contract."),
}
PANELS = {
    "On one machine": ["up", "doctor", "top"],
    "Programs and points": [
        *("program", "campaign", "segment", "import", "keys", "operators"),
        *("audit", "draw", "game", "payouts", "pseudonym", "rebuild", "report"),
    ],
    "Single processes, configured by environment variables": ["api", "feed", "worker", "migrate"],
    "For developers": ["bench", "torture", "openapi"],
}


class Lazy(click.RichGroup):
    """Lists the commands of the table, and imports only the one that is run."""

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
        assert name is not None  # Click has refused unknown names.
        return name, load(name), rest

    def invoke(self, ctx: click.Context) -> Any:
        """Show expected failures of every command in one line."""
        try:
            return super().invoke(ctx)
        except (InstallationError, SettingsError) as error:
            click.echo(f"engage: {error}", err=True)
            ctx.exit(1)


def load(name: str) -> click.Command:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


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
