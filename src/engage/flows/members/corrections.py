"""Correct points in the console: small amounts at once, more than that by two operators."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.identity import Operator
from engage.domain.keys import ADJUSTMENT_RULE
from engage.domain.members.corrections import ALONE_WITHIN, State, needs_second
from engage.domain.refusals import AccountClosed, Code, Refusal
from engage.flows.members.adjust import AdjustmentRequest, give_or_take
from engage.ledger.accounts import Accounts, open_accounts
from engage.runtime.database import one_statement, transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.ids import new_id
from engage.runtime.member_cache import with_current_members
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store import audit_log
from engage.store.audit_log import AuditEntry
from engage.store.members import corrections as store
from engage.store.members.corrections import Correction
from engage.store.members.members import Member, lock_open


async def correct(
    services: Services,
    program_id: str,
    member_id: str,
    *,
    points: int,
    reason: str,
    operator: Operator,
    keyed: Keyed[Correction] | None = None,
) -> Correction:
    """Give or take points; more than one operator may alone are requested of a second one.

    Raises Refusal unknown_member, insufficient_points, request_in_flight; Unavailable.
    """
    now = services.clock.now()

    async def run() -> Correction:
        member = await services.members.get(services.db, program_id, member_id)
        async with open_posting(services, cause=ADJUSTMENT_RULE) as posting:
            conn = posting.conn
            await claim(conn, keyed)
            await lock_open(conn, [member.key])
            accounts = await open_accounts(conn, [member.key], now=now)
            alone = await store.read_points_alone(conn, member.key, operator.id, since=now - ALONE_WITHIN)
            correction = Correction(
                id=new_id(),
                program_id=member.program_id,
                member_id=member.member_id,
                points=points,
                reason=reason,
                state="requested" if needs_second(points, made_alone=alone) else "made",
                requested_by=operator.id,
                requested_by_name=operator.name,
                requested_at=now,
            )
            if correction.state == "made":
                await _post(services, posting, accounts, member, correction, operator, now=now)
            await store.add_correction(conn, correction)
            await _log(conn, correction, correction.state, operator, now=now)
            await keep(conn, keyed, correction)
        return correction

    return await with_current_members(services.members, services.db, run)


async def approve_correction(
    services: Services, id_: UUID, *, operator: Operator, keyed: Keyed[Correction] | None = None
) -> Correction:
    """Make a correction that another operator has requested.

    Raises Refusal not_found; wrong_state where it is decided; four_eyes for the one who requested it;
    insufficient_points, request_in_flight; Unavailable.
    """
    now = services.clock.now()

    async def run() -> Correction:
        found = await read_correction(services, id_)
        member = await services.members.get(services.db, *found.key)
        async with open_posting(services, cause=ADJUSTMENT_RULE) as posting:
            await claim(posting.conn, keyed)
            # The balance is locked before the correction, which a merger moves while it has the balance.
            accounts = await open_accounts(posting.conn, [found.key], now=now)
            correction = await _lock_requested(posting.conn, id_)
            if correction.requested_by == operator.id:
                raise Refusal(Code.FOUR_EYES)
            if correction.key != found.key:
                raise AccountClosed
            await _post(services, posting, accounts, member, correction, operator, now=now)
            made = _decided(correction, "made", operator, now=now)
            await store.write_correction(posting.conn, made)
            await _log(posting.conn, made, "approved", operator, now=now)
            await keep(posting.conn, keyed, made)
        return made

    return await with_current_members(services.members, services.db, run)


async def reject_correction(
    services: Services,
    id_: UUID,
    *,
    note: str | None,
    operator: Operator,
    keyed: Keyed[Correction] | None = None,
) -> Correction:
    """Reject a correction, or take back one's own. Raises Refusal not_found, wrong_state, request_in_flight;
    Unavailable.
    """
    now = services.clock.now()
    async with transaction(services.db) as conn:
        await claim(conn, keyed)
        correction = await _lock_requested(conn, id_)
        rejected = _decided(correction, "rejected", operator, now=now, note=note)
        await store.write_correction(conn, rejected)
        await _log(conn, rejected, "rejected", operator, now=now)
        await keep(conn, keyed, rejected)
    return rejected


async def read_correction(services: Services, id_: UUID) -> Correction:
    """Raises Refusal not_found; Unavailable."""
    async with one_statement(services.db) as conn:
        found = await store.read_correction(conn, id_)
    if found is None:
        raise Refusal(Code.NOT_FOUND)
    return found


async def list_corrections(
    services: Services, program_ids: Sequence[str], state: State, *, before: UUID | None, limit: int
) -> list[Correction]:
    """Read a page of the corrections of these programs in a state, newest first. Raises Unavailable."""
    async with one_statement(services.db) as conn:
        return await store.list_corrections(conn, program_ids, state, before=before, limit=limit)


async def _post(
    services: Services,
    posting: Posting,
    accounts: Accounts,
    member: Member,
    correction: Correction,
    operator: Operator,
    *,
    now: datetime,
) -> None:
    """Raises Refusal insufficient_points."""
    request = AdjustmentRequest(
        points=correction.points, reason=correction.reason, reference=str(correction.id)
    )
    await give_or_take(services, posting.conn, member, accounts, request, operator=operator.id, now=now)
    await posting.post(accounts)


async def _lock_requested(conn: AsyncConnection, id_: UUID) -> Correction:
    """Raises Refusal not_found, wrong_state."""
    correction = await store.lock_correction(conn, id_)
    if correction is None:
        raise Refusal(Code.NOT_FOUND)
    if correction.state != "requested":
        raise Refusal(Code.WRONG_STATE, state=correction.state)
    return correction


def _decided(
    correction: Correction, state: State, operator: Operator, *, now: datetime, note: str | None = None
) -> Correction:
    return replace(
        correction,
        state=state,
        decided_by=operator.id,
        decided_by_name=operator.name,
        decided_at=now,
        note=note,
    )


async def _log(
    conn: AsyncConnection, correction: Correction, action: str, operator: Operator, *, now: datetime
) -> None:
    """The member and the reason stay with the correction, which an erasure can reach."""
    entry = AuditEntry(
        at=now,
        program_id=correction.program_id,
        operator=operator.name,
        subject=f"correction:{correction.id}",
        action=action,
        after={"state": correction.state, "points": correction.points},
    )
    await audit_log.write(conn, entry)
