"""Decisions of operators about suspicions: release or reject, each of which can be taken back as a whole."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.identity import Operator
from engage.domain.members.corrections import MOST_ALONE
from engage.domain.refusals import Code, Refusal
from engage.flows.protection.apply import apply_decided
from engage.runtime.database import transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.store import audit_log
from engage.store.audit_log import AuditEntry
from engage.store.protection import decisions as store
from engage.store.protection.decisions import Decision

# The part that an operator may have in a decision: asking for it, approving what was asked for, or either.
Part = Literal["first", "second", "either"]


async def decide(
    services: Services,
    suspicion_id: UUID,
    kind: Literal["released", "rejected"],
    *,
    operator: Operator,
    reason: str,
    part: Part = "either",
    keyed: Keyed[Decision] | None = None,
) -> Decision:
    """Decide about all open credits of a suspicion. A rejection that takes more of one member than an
    operator may take alone is requested first, and made by the second operator who rejects.

    Raises Refusal not_found; wrong_state where nothing is open, or nothing for this part; four_eyes for the
    one who requested it; request_in_flight; Unavailable.
    """
    now = services.clock.now()

    async def make(conn: AsyncConnection, program_id: str, newest: Decision | None) -> Decision:
        decision = Decision(
            id=new_id(),
            suspicion_id=suspicion_id,
            program_id=program_id,
            kind=kind,
            reason=reason,
            made_by=operator.id,
            made_by_name=operator.name,
            made_at=now,
        )
        largest = await store.read_largest(conn, suspicion_id) if kind == "rejected" else 0
        requested = newest if newest is not None and newest.kind == "requested" else None
        _check_part(part if kind == "rejected" else "either", requested)
        if largest > MOST_ALONE:
            if requested is None:
                decision = replace(decision, kind="requested")
            elif requested.made_by == operator.id:
                raise Refusal(Code.FOUR_EYES)
        if requested is not None and decision.kind != "requested":
            decision = _instead(requested, decision)
            await store.write_decision(conn, decision)
        else:
            await store.add_decision(conn, decision)
        if decision.kind != "requested" and not await store.decide_open(conn, decision):
            raise Refusal(Code.WRONG_STATE, state="ended" if newest is None else newest.kind)
        await _log(conn, decision, decision.kind, operator, reason, now=now)
        return decision

    return await _commit(services, suspicion_id, make, keyed, now=now)


def _check_part(part: Part, requested: Decision | None) -> None:
    """Raises Refusal wrong_state."""
    if part == "second" and requested is None:
        raise Refusal(Code.WRONG_STATE, state="open")
    if part == "first" and requested is not None:
        raise Refusal(Code.WRONG_STATE, state=requested.kind)


def _instead(requested: Decision, made: Decision) -> Decision:
    """The decision that a request has become."""
    by_another = requested.made_by != made.made_by
    return replace(
        made,
        id=requested.id,
        requested_by=requested.made_by if by_another else None,
        requested_by_name=requested.made_by_name if by_another else None,
    )


async def undo(
    services: Services,
    suspicion_id: UUID,
    *,
    operator: Operator,
    reason: str,
    part: Part = "either",
    keyed: Keyed[Decision] | None = None,
) -> Decision:
    """Take back the newest decision about a suspicion: all that it took is given back, what it released is
    held again unless it is active. Everything is open then, as before. The second operator declines what was
    requested, and takes back nothing else.

    Raises Refusal not_found; wrong_state without a decision; request_in_flight; Unavailable.
    """
    now = services.clock.now()

    async def make(conn: AsyncConnection, program_id: str, newest: Decision | None) -> Decision:
        if newest is None:
            raise Refusal(Code.WRONG_STATE, state="open")
        if part == "second" and newest.kind != "requested":
            raise Refusal(Code.WRONG_STATE, state=newest.kind)
        undone = replace(newest, undone_by_name=operator.name, undone_at=now, undone_reason=reason)
        await store.write_decision(conn, undone)
        await store.undo_decided(conn, undone)
        await _log(conn, undone, "undone", operator, reason, now=now)
        return undone

    return await _commit(services, suspicion_id, make, keyed, now=now)


async def _commit(
    services: Services,
    suspicion_id: UUID,
    make: Callable[[AsyncConnection, str, Decision | None], Awaitable[Decision]],
    keyed: Keyed[Decision] | None,
    *,
    now: datetime,
) -> Decision:
    """Make a decision on the newest one that stands, and do what follows from it."""
    async with transaction(services.db) as conn:
        await claim(conn, keyed)
        program_id = await store.lock_suspicion(conn, suspicion_id)
        if program_id is None:
            raise Refusal(Code.NOT_FOUND)
        standing = (each for each in await store.read_decisions(conn, [suspicion_id]) if not each.undone_at)
        decision = await make(conn, program_id, next(standing, None))
        await keep(conn, keyed, decision)
    await apply_decided(services, suspicion_id, now=now)
    return decision


async def _log(
    conn: AsyncConnection, decision: Decision, action: str, operator: Operator, reason: str, *, now: datetime
) -> None:
    """The reason stays with the decision, which dies with the suspicion."""
    entry = AuditEntry(
        at=now,
        program_id=decision.program_id,
        operator=operator.name,
        subject=f"suspicion:{decision.suspicion_id}",
        action=action,
        after={"decision": str(decision.id), "kind": decision.kind},
    )
    await audit_log.write(conn, entry)
