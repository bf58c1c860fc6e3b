"""Activities that wait for the shop's word: due when it comes, whenever that is; lapsed when it does not."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.confirmation import confirmed
from engage.domain.keys import MemberKey, ReferenceKey, lapse_reference
from engage.ledger.accept import CreditToAccept
from engage.ledger.accounts import open_accounts
from engage.ledger.confirmations import (
    CREDITS_PER_BATCH,
    DueTime,
    WaitingCredit,
    lock_lapsing,
    lock_waiting,
    meet,
    read_met,
    set_due_times,
    trace_lapses,
)
from engage.ledger.corrections import Correction, reduce_to, write_corrections
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.runtime.terms import terms_named


def is_waiting(row: CreditToAccept) -> bool:
    return row.credit.lapses_at is not None and row.credit.due_at is None


async def with_confirmations(
    services: Services, conn: AsyncConnection, rows: Sequence[CreditToAccept]
) -> list[CreditToAccept]:
    """The credits to accept, with due times for those whose activity the shop has confirmed before it came.

    In the transaction that accepts them.
    """
    waiting = {_reference(row): None for row in rows if is_waiting(row)}
    times = await meet(conn, waiting)
    return [
        await _when_confirmed(services, row, times[_reference(row)])
        if is_waiting(row) and _reference(row) in times
        else row
        for row in rows
    ]


def _reference(row: CreditToAccept) -> ReferenceKey:
    assert row.credit.reference is not None
    return row.program_id, row.member_id, row.credit.reference


async def _when_confirmed(services: Services, row: CreditToAccept, at: datetime) -> CreditToAccept:
    due = await _due_time(services, _as_waiting(row), at)
    if due is None:
        return row
    return replace(row, credit=replace(row.credit, due_at=due.due_at, expires_at=due.expires_at))


def _as_waiting(row: CreditToAccept) -> WaitingCredit:
    """The credit as it will be read once it is accepted."""
    credit = row.credit
    assert credit.reference is not None
    assert credit.lapses_at is not None
    return WaitingCredit(
        program_id=row.program_id,
        member_id=row.member_id,
        id=row.id,
        reference=credit.reference,
        rule_id=credit.rule_id,
        version=credit.why.version,
        activity_at=credit.activity_at,
        lapses_at=credit.lapses_at,
        zone=credit.why.zone,
        hold_s=None if row.suspicion is None else int(row.suspicion.hold.total_seconds()),
    )


async def confirm(
    services: Services, posting: Posting, confirmations: Mapping[ReferenceKey, datetime]
) -> None:
    """Stores that the shop confirmed these activities, and gives due times to the credits that wait."""
    await _set_due(services, posting, await meet(posting.conn, confirmations))


async def apply_confirmations(services: Services, posting: Posting, member: MemberKey) -> None:
    """Gives due times to a member's credits that wait though their activities are confirmed: a merger has
    brought together what two accounts knew.
    """
    await _set_due(services, posting, await read_met(posting.conn, member))


async def _set_due(services: Services, posting: Posting, times: Mapping[ReferenceKey, datetime]) -> None:
    waiting = await lock_waiting(posting.conn, times)
    found = [await _due_time(services, credit, times[credit.key]) for credit in waiting]
    due = [time for time in found if time is not None]
    if due:
        await set_due_times(posting.conn, due)
        posting.ring_at(time.due_at for time in due)


async def _due_time(services: Services, credit: WaitingCredit, at: datetime) -> DueTime | None:
    """The due time by the terms that decided the credit; None where the confirmation came too late."""
    times = confirmed(
        await terms_named(services, credit.program_id, credit.version),
        credit.rule_id,
        activity_at=credit.activity_at,
        lapses_at=credit.lapses_at,
        confirmed_at=at,
        zone=credit.zone,
        hold=timedelta(seconds=credit.hold_s or 0),
    )
    return None if times is None else DueTime(credit, *times)


async def lapse_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Reverses the credits whose confirmation has not come in time; how many. Raises Unavailable."""
    total = 0
    while True:
        async with open_posting(services, cause="lapsed") as posting:
            ahead = services.clock.ahead
            lapsing = await lock_lapsing(posting.conn, now=now, ahead=ahead, on_time=on_time)
            if lapsing:
                posting.note_changes(credit.key for credit in lapsing)
                accounts = await open_accounts(posting.conn, [credit.key for credit in lapsing], now=now)
                corrections = []
                for credit in lapsing:
                    reference = lapse_reference(credit.id)
                    account = accounts.by_key[credit.key]
                    after = reduce_to(account, credit, 0, at=now, reference=reference)
                    corrections.append(Correction(credit, after, reference))
                await write_corrections(posting.conn, corrections, now=now)
                await trace_lapses(posting.conn, lapsing)
                await posting.post(accounts)
        total += len(lapsing)
        if len(lapsing) < CREDITS_PER_BATCH:
            return total
