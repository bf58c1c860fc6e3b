"""Actions of operators on a campaign: submit, reject, approve, pause, resume, end.

Those that change what is in force are effective a moment later, at the same instant in every process
(`engage.domain.campaigns.lifecycle`). Their transaction commits within COMMITS_WITHIN of its time, or not at
all, so that everybody knows of them by then.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.campaigns.lifecycle import (
    COMMITS_WITHIN,
    EFFECTIVE,
    WITH_LIVE,
    WITH_NEWEST,
    Action,
    ActionKind,
    State,
    effective_at,
)
from engage.domain.identity import Operator
from engage.domain.program.versions import four_eyes
from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.budgets import set_budget
from engage.flows.campaigns.campaign import StoredCampaign, document_of, read_campaign, subject_of
from engage.flows.campaigns.check import check_document, check_examples, check_is_to_come
from engage.runtime.database import end_within, transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.services import Services
from engage.store import audit_log
from engage.store.audit_log import AuditEntry
from engage.store.campaigns import actions, versions
from engage.store.campaigns.versions import CampaignKey, StoredVersion


class ActedVersion(Struct, frozen=True):
    """The state of the version that an action was about, once the action is effective."""

    state: State
    version: int


async def act(
    services: Services,
    key: CampaignKey,
    kind: ActionKind,
    *,
    operator: Operator,
    reason: str | None = None,
    expected: tuple[int, int] | None = None,
    keyed: Keyed[ActedVersion] | None = None,
) -> ActedVersion:
    """Do one of the actions of WITH_NEWEST and WITH_LIVE. `expected` is the (version, revision) that has to
    be the newest.

    Raises DocumentError for a version that is not valid beside its program today, or whose time is over;
    Refusal not_found, wrong_state, example_failed, four_eyes, changed_meanwhile, request_in_flight;
    Unavailable.
    """
    seen = await _read_and_check(services, key, kind)
    async with transaction(services.db) as conn:
        await claim(conn, keyed)
        if kind in EFFECTIVE:
            await end_within(conn, COMMITS_WITHIN)
        # Read after the time limit began, so that the commit is within it.
        now = services.clock.now()
        await versions.lock(conn, key)
        stored = await read_campaign(services, conn, key)
        version = _version_for(stored, kind, now)
        newest = stored.newest.version, stored.newest.revision
        if newest != (seen.newest.version, seen.newest.revision) or expected not in (None, newest):
            raise Refusal(Code.CHANGED_MEANWHILE, current_version=newest[0])
        if kind == "approved":
            _check_four_eyes(stored, version, operator, now)
            await versions.change(conn, replace(version, approved=True))
            await set_budget(conn, document_of(version))
        action = _action(stored.actions, kind, version.version, now, operator.name, reason)
        await actions.add(conn, key, action)
        before = ActedVersion(stored.state(version, now), version.version)
        after = replace(stored, actions=[*stored.actions, action])
        acted = ActedVersion(after.state(version, now), version.version)
        await audit_log.write(conn, _entry(key, action, before, acted))
        await keep(conn, keyed, acted)
    await services.campaigns.refresh(services.db)
    return acted


async def _read_and_check(services: Services, key: CampaignKey, kind: ActionKind) -> StoredCampaign:
    """Read a campaign, and validate what is about to be submitted or approved."""
    async with transaction(services.db) as conn:
        stored = await read_campaign(services, conn, key)
    if kind in ("submitted", "approved"):
        now = services.clock.now()
        _version_for(stored, kind, now)
        campaign = document_of(stored.newest)
        await check_document(services, campaign)
        check_is_to_come(services, campaign, effective_at(now) if kind in EFFECTIVE else now)
        if kind == "submitted":
            check_examples(campaign, stored.programs)
    return stored


def _version_for(stored: StoredCampaign, kind: ActionKind, now: datetime) -> StoredVersion:
    """The version that an action is about. Raises Refusal wrong_state."""
    with_newest = WITH_NEWEST.get(kind)
    version = stored.newest if with_newest or stored.live is None else stored.live
    state = stored.state(version, now)
    if state not in (with_newest or WITH_LIVE[kind]):
        raise Refusal(Code.WRONG_STATE, state=state)
    return version


def _check_four_eyes(
    stored: StoredCampaign, version: StoredVersion, operator: Operator, now: datetime
) -> None:
    """Raises Refusal four_eyes."""
    if operator.id in version.author_ids and four_eyes(stored.programs, now):
        raise Refusal(Code.FOUR_EYES)


def _entry(key: CampaignKey, action: Action, before: ActedVersion, after: ActedVersion) -> AuditEntry:
    return AuditEntry(
        at=action.at,
        program_id=key[0],
        operator=action.operator,
        subject=subject_of(key),
        action=action.kind,
        reason=action.reason,
        before=before,
        after=after,
    )


def _action(
    before: Sequence[Action],
    kind: ActionKind,
    version: int,
    now: datetime,
    operator: str,
    reason: str | None,
) -> Action:
    effective = now
    if kind in EFFECTIVE:
        # In the order of the actions, also where the clocks of two processes differ a little.
        effective = max([effective_at(now), *(action.effective_at for action in before)])
    return Action(
        number=before[-1].number + 1,
        kind=kind,
        version=version,
        at=now,
        effective_at=effective,
        operator=operator,
        reason=reason,
    )
