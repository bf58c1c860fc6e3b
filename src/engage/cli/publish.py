"""Publish a program document to an installation."""

from pathlib import Path

import rich_click as click

from engage.cli.run import run_with_database
from engage.clock import Clock
from engage.domain.refusals import Refusal
from engage.flows.programs.publish import publish


def publish_file(file: Path, data: Path | None) -> bool:
    """Show the outcome. Return False if the document was refused. Raises InstallationError."""
    text = file.read_text(encoding="utf-8")
    try:
        program, new = run_with_database(
            data, lambda db: publish(db, text, source=str(file), now=Clock().now())
        )
    except Refusal as refusal:
        click.secho(f"{file}: {refusal.code}", fg="red")
        for problem in refusal.facts.get("problems", []):
            click.echo(f"    {problem}")
        return False
    outcome = f"in force from {program.in_force_from}" if new else "already published, unchanged"
    click.secho(f"{program.id} {program.version}: {outcome}", fg="green")
    return True
