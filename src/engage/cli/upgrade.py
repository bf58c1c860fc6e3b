"""Show and publish upgrades of presets that an older release has published."""

from collections.abc import Iterable
from pathlib import Path

import rich_click as click

from engage.cli.publish import show_refusal
from engage.cli.run import run_with_services
from engage.domain.refusals import Refusal
from engage.flows.programs.older_presets import Upgrade, upgrades
from engage.flows.programs.publish import publish
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.store import programs as store
from engage.store.audit_log import COMMAND_LINE

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def upgrade_presets(wanted: Iterable[str], data: Path | None, *, publishing: bool) -> bool:
    """Show each upgrade, and publish it if asked to. Return False if one was refused.

    Raises ClickException for a program that has no upgrade; InstallationError.
    """
    found = run_with_services(data, _find)
    by_program = {upgrade.older.program: upgrade for upgrade in found}
    unknown = [program for program in wanted if program not in by_program]
    if unknown:
        raise click.ClickException(f"no upgrade for {', '.join(unknown)}")
    chosen = [by_program[program] for program in wanted] or found
    if not chosen:
        click.echo("every preset has the rules of this release")
        return True
    outcomes = [_upgrade(upgrade, data, publishing=publishing) for upgrade in chosen]
    return all(outcomes)


async def _find(services: Services) -> list[Upgrade]:
    async with one_statement(services.db) as conn:
        published = await store.read_all(conn)
    return upgrades(published, now=services.clock.now())


def _upgrade(upgrade: Upgrade, data: Path | None, *, publishing: bool) -> bool:
    """Return False if it was refused."""
    for line in upgrade.differences:
        click.secho(line, fg=_COLOURS.get(line[:1]))
    name = f"{upgrade.older.program} {upgrade.version}"
    if not publishing:
        click.echo(f"{name} would be in force from {upgrade.in_force_from}; to publish it, add --publish")
        return True

    async def publish_it(services: Services) -> None:
        await publish(
            services.db,
            upgrade.document,
            source=name,
            operator=COMMAND_LINE,
            clock=services.clock,
            past_allowed=services.settings.sandbox is not None,
        )

    try:
        run_with_services(data, publish_it)
    except Refusal as refusal:
        show_refusal(name, refusal)
        return False
    click.secho(f"{name}: in force from {upgrade.in_force_from}", fg="green")
    return True
