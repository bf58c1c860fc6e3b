"""Write campaigns: their first version, and later ones. What is approved never changes."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.copying import copied
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import Action, ActionKind, State
from engage.domain.document.compact import compact
from engage.domain.document.difference import differences
from engage.domain.identity import Operator
from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.campaign import StoredCampaign, document_of, read_campaign, subject_of
from engage.flows.campaigns.check import check_within, lock_ids
from engage.runtime.database import transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.services import Services
from engage.store import audit_log
from engage.store.audit_log import AuditEntry
from engage.store.campaigns import actions, versions
from engage.store.campaigns.versions import CampaignKey, StoredVersion


class WrittenVersion(Struct, frozen=True):
    """A version that was written. `revision` counts its changes."""

    id: str
    version: int
    state: State
    revision: int


async def create(
    services: Services,
    campaign: Campaign,
    *,
    operator: Operator,
    keyed: Keyed[WrittenVersion] | None = None,
) -> WrittenVersion:
    """Write the first version of a campaign, a draft.

    Raises DocumentError; Refusal exists, request_in_flight; Unavailable.
    """
    async with transaction(services.db) as conn:
        await claim(conn, keyed)
        await lock_ids(conn)
        await check_within(services.programs, conn, campaign)
        if not await add_draft(conn, campaign, now=services.clock.now(), operator=operator):
            raise Refusal(Code.EXISTS, id=campaign.id)
        written = WrittenVersion(campaign.id, 1, "draft", 1)
        await keep(conn, keyed, written)
    return written


async def add_draft(conn: AsyncConnection, campaign: Campaign, *, now: datetime, operator: Operator) -> bool:
    """Add a valid document as the first version of a campaign; False where there is one of this id."""
    first = StoredVersion(
        program_id=campaign.program,
        campaign_id=campaign.id,
        version=1,
        revision=1,
        document=_document(campaign),
        authors=[operator.name],
        author_ids=[operator.id],
        approved=False,
    )
    added = await versions.add(conn, first)
    if added:
        await _note(conn, first, None, 1, "created", now, operator)
    return added


async def change(
    services: Services, campaign: Campaign, *, expected: tuple[int, int] | None, operator: Operator
) -> WrittenVersion:
    """Change the draft, or write the next version beside one that is more than a draft. `expected` is the
    (version, revision) that the caller has read; None is none.

    Raises DocumentError; Refusal not_found, wrong_state (the campaign has ended), changed_meanwhile;
    Unavailable.
    """
    key = campaign.program, campaign.id
    async with transaction(services.db) as conn:
        await lock_ids(conn)
        await check_within(services.programs, conn, campaign)
        await versions.lock(conn, key)
        now = services.clock.now()
        stored = await read_campaign(services, conn, key)
        if stored.state(stored.newest, now) == "ended":
            raise Refusal(Code.WRONG_STATE, state="ended")
        if expected != (stored.newest.version, stored.newest.revision):
            raise changed_meanwhile(campaign, stored)
        changed = _changed(stored, campaign, now, operator)
        if changed.version == stored.newest.version:
            await versions.change(conn, changed)
        else:
            await versions.add(conn, changed)
        kind: ActionKind = "changed" if changed.revision > 1 else "created"
        await _note(conn, changed, stored.newest, stored.actions[-1].number + 1, kind, now, operator)
    return WrittenVersion(campaign.id, changed.version, "draft", changed.revision)


async def duplicate(
    services: Services,
    key: CampaignKey,
    new_id: str,
    *,
    begin: datetime | None,
    operator: Operator,
    keyed: Keyed[WrittenVersion] | None = None,
) -> WrittenVersion:
    """Write another campaign with the newest document of this one, its times moved to begin at `begin`.

    Raises DocumentError; Refusal not_found, exists, request_in_flight; Unavailable.
    """
    async with transaction(services.db) as conn:
        stored = await read_campaign(services, conn, key)
    copy = copied(document_of(stored.newest), new_id, begin)
    return await create(services, copy, operator=operator, keyed=keyed)


def changed_meanwhile(campaign: Campaign, stored: StoredCampaign) -> Refusal:
    """The refusal of a change that was written beside another version than the newest."""
    newest = stored.newest
    return Refusal(
        Code.CHANGED_MEANWHILE,
        current_version=newest.version,
        difference=differences(_document(campaign), _document(document_of(newest))),
    )


def _changed(stored: StoredCampaign, campaign: Campaign, now: datetime, operator: Operator) -> StoredVersion:
    newest = stored.newest
    # What nobody has approved yet is still the work of its authors.
    authors, ids = ((), ()) if newest.approved else (newest.authors, newest.author_ids)
    changed = replace(
        newest,
        document=_document(campaign),
        authors=[*(author for author in authors if author != operator.name), operator.name],
        author_ids=[*(id_ for id_ in ids if id_ != operator.id), operator.id],
        approved=False,
    )
    if stored.state(newest, now) == "draft":
        return replace(changed, revision=newest.revision + 1)
    return replace(changed, version=newest.version + 1, revision=1)


def _document(campaign: Campaign) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(campaign)
    return document


async def _note(
    conn: AsyncConnection,
    version: StoredVersion,
    before: StoredVersion | None,
    number: int,
    kind: ActionKind,
    now: datetime,
    operator: Operator,
) -> None:
    """Add the action, and its entry of the audit log."""
    action = Action(
        number=number, kind=kind, version=version.version, at=now, effective_at=now, operator=operator.name
    )
    await actions.add(conn, version.key, action)
    entry = AuditEntry(
        at=now,
        program_id=version.program_id,
        operator=operator.name,
        subject=subject_of(version.key),
        action=kind,
        before=None if before is None else _logged(before),
        after=_logged(version),
    )
    await audit_log.write(conn, entry)


def _logged(version: StoredVersion) -> dict[str, Any]:
    return {"version": version.version, "document": compact(document_of(version))}
