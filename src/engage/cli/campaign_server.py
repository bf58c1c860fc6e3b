"""Push, compare and export campaigns of an installation."""

import json
from datetime import date, datetime, time
from pathlib import Path
from typing import Final

import msgspec
import rich_click as click

from engage.cli.documents import show_problems
from engage.cli.publish import show_refusal
from engage.cli.run import run_with_services
from engage.domain.campaigns.definition import Campaign
from engage.domain.document.compact import compact
from engage.domain.document.difference import Difference, differences
from engage.domain.document.errors import DocumentError, shown
from engage.domain.identity import Operator
from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.campaign import StoredCampaign, document_of, read_campaign
from engage.flows.campaigns.change import change, create
from engage.flows.campaigns.read import SeveralPrograms, find_campaign
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.audit_log import COMMAND_LINE
from engage.store.campaigns.versions import CampaignKey

# Nobody approves from the command line.
_OPERATOR: Final = Operator(COMMAND_LINE, COMMAND_LINE)


def push_document(file: Path, document: Campaign, data: Path | None) -> bool:
    """Show the outcome. Return False if the document was refused."""
    try:
        outcome = run_with_services(data, lambda services: _push(file, services, document))
    except Refusal as refusal:
        show_refusal(str(file), refusal)
        return False
    if outcome is not None:
        click.secho(f"{document.id}: {outcome}", fg="green")
    return outcome is not None


def compare_document(document: Campaign, data: Path | None) -> bool:
    """Show how a document differs from the server's newest. Return True if it does not."""
    stored = run_with_services(data, lambda services: _find(services, (document.program, document.id)))
    if stored is None:
        click.secho(f"{document.id}: not on the server", fg="yellow")
        return False
    theirs = document_of(stored.newest)
    found = differences(msgspec.to_builtins(document), msgspec.to_builtins(theirs))
    for difference in found:
        click.echo(f"{click.style(difference.field, bold=True)}: {_change(difference)}")
    version = f"version {stored.newest.version}"
    if not found:
        click.secho(f"{document.id}: the same as {version}", fg="green")
    return not found


def export_document(
    file: Path, campaign_id: str, data: Path | None, *, program_id: str | None, version: int | None
) -> bool:
    """Write the document to the file. Return False if there is none."""
    try:
        stored = run_with_services(data, lambda services: _find_any(services, campaign_id, program_id))
    except SeveralPrograms:
        raise click.ClickException(
            f"several programs have a campaign {campaign_id}: choose one with --program"
        ) from None
    if stored is None or (version or 1) > len(stored.versions):
        click.secho(f"{campaign_id}: not on the server", fg="yellow")
        return False
    exported = stored.newest if version is None else stored.versions[version - 1]
    file.write_text(_text(document_of(exported), file.suffix), encoding="utf-8")
    click.secho(f"{campaign_id}: version {exported.version} in {file}", fg="green")
    return True


async def _push(file: Path, services: Services, document: Campaign) -> str | None:
    """The outcome in words, or None for a document whose problems were shown. Raises Refusal; Unavailable."""
    await services.programs.refresh(services.db)
    stored = await _find(services, (document.program, document.id))
    if stored is not None and document_of(stored.newest) == document:
        return f"version {stored.newest.version} is the same, unchanged"
    try:
        if stored is None:
            written = await create(services, document, operator=_OPERATOR)
        else:
            seen = stored.newest.version, stored.newest.revision
            written = await change(services, document, expected=seen, operator=_OPERATOR)
    except DocumentError as error:
        show_problems(file, error.problems)
        return None
    return f"version {written.version}, {written.state}"


async def _find(services: Services, key: CampaignKey) -> StoredCampaign | None:
    try:
        async with transaction(services.db) as conn:
            return await read_campaign(services, conn, key)
    except Refusal as refusal:
        if refusal.code is Code.NOT_FOUND:
            return None
        raise


async def _find_any(services: Services, campaign_id: str, program_id: str | None) -> StoredCampaign | None:
    """Raises SeveralPrograms."""
    await services.programs.refresh(services.db)
    programs = services.programs.ids() if program_id is None else [program_id]
    try:
        key = await find_campaign(services, programs, campaign_id)
    except Refusal as refusal:
        if refusal.code is Code.NOT_FOUND:
            return None
        raise
    return await _find(services, key)


def _change(difference: Difference) -> str:
    """The server's value and that of the file."""
    theirs, yours = (
        "nothing"
        if value is None
        else shown(value)
        if not isinstance(value, dict | list)
        else json.dumps(value)
        for value in (difference.theirs, difference.yours)
    )
    return f"{theirs} → {yours}"


def _text(document: Campaign, suffix: str) -> str:
    if suffix == ".json":
        return json.dumps(compact(document), indent=2, ensure_ascii=False) + "\n"
    return msgspec.toml.encode(compact(document, keep=(datetime, date, time))).decode()
