"""Campaigns as operators see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from engage.domain.campaigns.definition import CampaignId
from engage.domain.campaigns.lifecycle import ActionKind, State
from engage.domain.document.compact import compact
from engage.domain.document.texts import Texts
from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.campaign import StoredCampaign, document_of, read_campaign
from engage.runtime.database import snapshot, transaction
from engage.runtime.services import Services
from engage.store.campaigns.versions import CampaignKey, StoredVersion, programs_with


class SeveralPrograms(Exception):
    """Campaigns of several programs have the id."""


class CampaignVersionView(Struct, frozen=True, kw_only=True):
    """A version, with those who wrote it. `approved_by` null: nobody has approved it."""

    version: int
    state: State
    authors: Sequence[str]
    created_at: datetime
    approved_by: str | None
    approved_at: datetime | None


class CampaignActionView(Struct, frozen=True, kw_only=True):
    """A deed of an operator with a version, and since when everybody goes by it."""

    action: ActionKind
    version: int
    at: datetime
    effective_at: datetime
    operator: str
    reason: str | None


class LiveVersion(Struct, frozen=True):
    """The version that was approved last. What is scheduled or runs is its document."""

    version: int
    state: State


class CampaignView(Struct, frozen=True, kw_only=True):
    """A version of a campaign, with its document as it would be written by hand: without defaults.

    `live` null: no version has been approved. `actions` are in the order in which they were done.
    """

    id: str
    program: str
    title: Texts
    state: State
    version: int
    revision: int
    document: dict[str, Any]
    versions: list[CampaignVersionView]
    live: LiveVersion | None
    actions: list[CampaignActionView]


async def find_campaign(services: Services, programs: Sequence[str], campaign_id: str) -> CampaignKey:
    """The key of the campaign of this id in one of these programs.

    Raises SeveralPrograms; Refusal not_found; Unavailable.
    """
    if not is_campaign_id(campaign_id):
        raise Refusal(Code.NOT_FOUND)
    async with transaction(services.db) as conn:
        found = [program for program in await programs_with(conn, campaign_id) if program in programs]
    if not found:
        raise Refusal(Code.NOT_FOUND)
    if len(found) > 1:
        raise SeveralPrograms
    return found[0], campaign_id


def is_campaign_id(campaign_id: str) -> bool:
    """True if a campaign can have this id. PostgreSQL cannot read some others, such as those with NUL."""
    try:
        msgspec.convert(campaign_id, CampaignId)
    except msgspec.ValidationError:
        return False
    return True


async def show_campaign(services: Services, key: CampaignKey, version: int | None) -> CampaignView:
    """Show a version, or the newest. Raises Refusal not_found; Unavailable."""
    async with snapshot(services.db) as conn:
        stored = await read_campaign(services, conn, key)
    if version is not None and not 1 <= version <= len(stored.versions):
        raise Refusal(Code.NOT_FOUND)
    shown = stored.newest if version is None else stored.versions[version - 1]
    now = services.clock.now()
    document, live = document_of(shown), stored.live
    return CampaignView(
        id=document.id,
        program=document.program,
        title=document.title,
        state=stored.state(shown, now),
        version=shown.version,
        revision=shown.revision,
        document=compact(document),
        versions=[_version(stored, each, now) for each in stored.versions],
        live=None if live is None else LiveVersion(live.version, stored.state(live, now)),
        actions=[
            CampaignActionView(
                action=action.kind,
                version=action.version,
                at=action.at,
                effective_at=action.effective_at,
                operator=action.operator,
                reason=action.reason,
            )
            for action in stored.actions
        ],
    )


def _version(stored: StoredCampaign, version: StoredVersion, now: datetime) -> CampaignVersionView:
    own = [action for action in stored.actions if action.version == version.version]
    approved = next((action for action in own if action.kind == "approved"), None)
    return CampaignVersionView(
        version=version.version,
        state=stored.state(version, now),
        authors=version.authors,
        created_at=own[0].at,
        approved_by=None if approved is None else approved.operator,
        approved_at=None if approved is None else approved.at,
    )
