"""The review queue: suspicions as operators see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

from engage.domain.protection.definition import Counts, Per
from engage.domain.refusals import Code, Refusal
from engage.runtime.database import one_statement, transaction
from engage.runtime.services import Services
from engage.store.protection import queue as store
from engage.store.protection.decisions import Decision, Kind, read_decisions
from engage.store.protection.queue import HeldRow, State, SuspicionRow

# Of the credits of a suspicion, and of the members who have places, so many are shown.
SHOWN: Final = 500

Source = Annotated[str, Meta(description="the keyed hash of the device or the network, as hex digits")]


class SuspicionView(Struct, frozen=True, kw_only=True):
    """The credits that one velocity rule (`rule`) holds on one device or network (`source`) in one `window`,
    where there are places for `at_most` members or activities. `points` are those of all its credits that
    are left, `pending` those that still wait; the last of them are due at `held_until`.
    """

    id: UUID
    program: str
    rule: str
    per: Per
    counts: Counts
    at_most: int
    source: Source
    window: str
    opened_at: datetime
    newest_at: datetime
    state: State
    members: int
    credits: int
    points: int
    pending: int
    held_until: datetime | None


class DecisionView(Struct, frozen=True, kw_only=True):
    """A decision about a suspicion, with the names of the operators; one that was `requested` waits for a
    second operator. `undone_at`: it was taken back.
    """

    kind: Kind
    reason: str
    made_by: str
    made_at: datetime
    requested_by: str | None
    undone_by: str | None
    undone_at: datetime | None
    undone_reason: str | None


class SuspicionDetail(Struct, frozen=True, kw_only=True):
    """A suspicion with its first credits by member, the members who have places there, and all decisions,
    newest first.
    """

    suspicion: SuspicionView
    held: list[HeldRow]
    counted: list[str]
    decisions: list[DecisionView]


async def list_queue(
    services: Services,
    program_ids: Sequence[str],
    *,
    state: State | None,
    source: str | None,
    before: UUID | None,
    limit: int,
) -> list[SuspicionView]:
    """Read a page of suspicions of these programs, newest first. Raises Unavailable."""
    async with one_statement(services.db) as conn:
        found = await store.list_suspicions(
            conn,
            program_ids,
            state=state,
            source=None if source is None else bytes.fromhex(source),
            before=before,
            limit=limit,
        )
    return [_view(row) for row in found]


async def read_detail(services: Services, id_: UUID) -> SuspicionDetail:
    """Raises Refusal not_found; Unavailable."""
    async with transaction(services.db) as conn:
        row = await store.read_suspicion(conn, id_)
        if row is None:
            raise Refusal(Code.NOT_FOUND)
        held = await store.list_held(conn, id_, after=None, limit=SHOWN)
        counted = await store.list_counted(conn, id_, limit=SHOWN)
        decisions = await read_decisions(conn, [id_])
    return SuspicionDetail(
        suspicion=_view(row), held=held, counted=counted, decisions=[*map(decision_view, decisions)]
    )


async def read_program(services: Services, id_: UUID) -> str:
    """The program of a suspicion. Raises Refusal not_found; Unavailable."""
    async with one_statement(services.db) as conn:
        program_id = await store.read_program(conn, id_)
    if program_id is None:
        raise Refusal(Code.NOT_FOUND)
    return program_id


async def read_requester(services: Services, id_: UUID) -> str | None:
    """The id of the operator whose rejection waits for a second one; None where none waits.

    Raises Unavailable.
    """
    async with one_statement(services.db) as conn:
        decisions = await read_decisions(conn, [id_])
    newest = next((decision for decision in decisions if decision.undone_at is None), None)
    return newest.made_by if newest is not None and newest.kind == "requested" else None


def _view(row: SuspicionRow) -> SuspicionView:
    return SuspicionView(
        id=row.id,
        program=row.program_id,
        rule=row.rule_id,
        per=row.per,
        counts=row.counts,
        at_most=row.at_most,
        source=row.source.hex(),
        window=row.window,
        opened_at=row.opened_at,
        newest_at=row.newest_at,
        state=row.state,
        members=row.members,
        credits=row.credits,
        points=row.points,
        pending=row.pending,
        held_until=row.held_until,
    )


def decision_view(decision: Decision) -> DecisionView:
    return DecisionView(
        kind=decision.kind,
        reason=decision.reason,
        made_by=decision.made_by_name,
        made_at=decision.made_at,
        requested_by=decision.requested_by_name,
        undone_by=decision.undone_by_name,
        undone_at=decision.undone_at,
        undone_reason=decision.undone_reason,
    )
