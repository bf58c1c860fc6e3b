"""Publish a program document to an installation."""

from pathlib import Path

import rich_click as click

from engage.cli.run import run_with_settings
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.flows.programs.publish import publish
from engage.messages.catalogue import DEFAULT
from engage.messages.refusals import refusal_message
from engage.runtime.database import open_database
from engage.runtime.database_clock import open_clock
from engage.settings import Settings
from engage.store.audit_log import COMMAND_LINE


def publish_file(file: Path, data: Path | None) -> bool:
    """Show the outcome. Return False if the document was refused. Raises InstallationError."""
    text = file.read_text(encoding="utf-8")
    try:
        program, new = run_with_settings(data, lambda settings: _publish(settings, text, source=str(file)))
    except Refusal as refusal:
        show_refusal(str(file), refusal)
        return False
    outcome = f"in force from {program.in_force_from}" if new else "already published, unchanged"
    click.secho(f"{program.id} {program.version}: {outcome}", fg="green")
    return True


def show_refusal(what: str, refusal: Refusal) -> None:
    """Show why a version was refused: its problems, or the text of the refusal."""
    click.secho(f"{what}: {refusal.code}", fg="red")
    detail = refusal_message(refusal.code, refusal.facts, DEFAULT).detail
    for problem in refusal.facts.get("problems", [detail]):
        click.echo(f"    {problem}")


async def _publish(settings: Settings, text: str, *, source: str) -> tuple[Program, bool]:
    past_allowed = settings.sandbox is not None
    db = open_database(settings.database_url, pool_size=1)
    try:
        return await publish(
            db,
            text,
            source=source,
            operator=COMMAND_LINE,
            clock=await open_clock(settings, db),
            past_allowed=past_allowed,
        )
    finally:
        await db.dispose()
