"""Publish a program document to an installation."""

from pathlib import Path

import rich_click as click

from engage.cli.run import run
from engage.clock import Clock
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.embedded.installation import open_installation
from engage.flows.programs.publish import publish
from engage.runtime.database import open_database


def publish_file(file: Path, data: Path | None) -> bool:
    """Show the outcome. Return False if the document was refused. Raises InstallationError."""
    try:
        program, new = run(_publish(file.read_text(encoding="utf-8"), str(file), data))
    except Refusal as refusal:
        click.secho(f"{file}: {refusal.code}", fg="red")
        for problem in refusal.facts.get("problems", []):
            click.echo(f"    {problem}")
        return False
    outcome = f"in force from {program.in_force_from}" if new else "already published, unchanged"
    click.secho(f"{program.id} {program.version}: {outcome}", fg="green")
    return True


async def _publish(text: str, source: str, data: Path | None) -> tuple[Program, bool]:
    async with open_installation(data) as settings:
        db = open_database(settings.database_url, pool_size=1)
        try:
            return await publish(db, text, source=source, now=Clock().now())
        finally:
            await db.dispose()
