"""Do what was decided about suspicions: release, reject, hold again, restore.

A decision is a commit of its own. What follows from it is done in parts, each in one transaction for whole
members, so that what belongs together in an account changes together. A part that was done is not found
again: after a crash, and by two at once, the rest is done once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey, rejection_reference
from engage.domain.refusals import AccountClosed, Unavailable
from engage.ledger.accounts import open_accounts
from engage.ledger.corrections import (
    Correction,
    LockedCredit,
    lock_credits_by_id,
    read_credits_by_id,
    reduce_to,
    write_corrections,
)
from engage.ledger.reviews import (
    HeldAgain,
    Restored,
    add_restored,
    hold_again,
    release,
    trace_rejections,
)
from engage.runtime.database import one_statement
from engage.runtime.ids import new_id
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store.members.members import lock_open
from engage.store.protection import decisions as store
from engage.store.protection.decisions import DecidedCredit

MEMBERS_PER_PART: Final = 100
SUSPICIONS_PER_TURN: Final = 100

# Parts in a row whose members are merged or erased meanwhile.
ATTEMPTS: Final = 40


async def apply_decided(services: Services, suspicion_id: UUID, *, now: datetime) -> int:
    """Do all that was decided about a suspicion; for how many credits. Raises Unavailable."""
    total = in_vain = 0
    while True:
        async with one_statement(services.db) as conn:
            members = await store.read_members(conn, suspicion_id, limit=MEMBERS_PER_PART)
        if not members:
            return total
        try:
            total += await _apply(services, suspicion_id, members, now=now)
            in_vain = 0
        except AccountClosed:
            # A merger takes the credits along, an erasure deletes them.
            await services.members.refresh(services.db)
            in_vain += 1
            if in_vain == ATTEMPTS:
                raise Unavailable("member") from None


async def apply_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Do what was decided and is not done, since whoever decided has died; for how many credits.

    Raises Unavailable.
    """
    async with one_statement(services.db) as conn:
        waiting = await store.read_decided(conn, limit=SUSPICIONS_PER_TURN)
    return sum([await apply_decided(services, id_, now=now) for id_ in waiting])


async def _apply(
    services: Services, suspicion_id: UUID, members: Sequence[MemberKey], *, now: datetime
) -> int:
    """Do a part. Raises AccountClosed."""
    async with open_posting(services, cause="review") as posting:
        await lock_open(posting.conn, members)
        decided = await store.lock_decided(posting.conn, suspicion_id, members)
        by_state = {state: [each for each in decided if each.state == state] for state in _DO}
        for state, credits in by_state.items():
            if credits:
                await _DO[state](services, posting, credits, now=now)
        posting.note_changes(each.member for each in decided)
    return len(decided)


async def _release(
    services: Services, posting: Posting, credits: Sequence[DecidedCredit], *, now: datetime
) -> None:
    times = await release(posting.conn, [_held(each) for each in credits], now=now)
    posting.ring_at(after for _, after in times.values())
    before = {key: due_at for key, (due_at, _) in times.items()}
    await store.finish(
        posting.conn,
        [replace(each, state="released", held_due_at=before.get(each.key)) for each in credits],
    )


async def _hold(
    services: Services, posting: Posting, credits: Sequence[DecidedCredit], *, now: datetime
) -> None:
    await hold_again(posting.conn, [_held(each) for each in credits])
    await store.finish(posting.conn, [replace(each, state="open", held_due_at=None) for each in credits])


async def _reject(
    services: Services, posting: Posting, credits: Sequence[DecidedCredit], *, now: datetime
) -> None:
    """Take back what is left, as for a return: of what was spent, a debt remains."""
    conn, decided = posting.conn, {each.key: each for each in credits}
    await lock_credits_by_id(conn, list(decided))
    accounts = await open_accounts(
        conn,
        {each.member for each in credits},
        now=now,
        credit_ids=[each.credit_id for each in credits],
    )
    corrections = []
    for credit in await read_credits_by_id(conn, list(decided)):
        reference = rejection_reference(decided[*credit.key, credit.id].decision_id)
        after = reduce_to(accounts.by_key[credit.key], credit, 0, at=now, reference=reference)
        corrections.append(Correction(credit, after, reference))
    taken = {(*each.before.key, each.before.id): _taken(each) for each in corrections}
    if corrections:
        await write_corrections(conn, corrections, now=now)
        await trace_rejections(conn, list(taken))
        await posting.post(accounts)
    await store.finish(
        conn, [replace(each, state="rejected", taken=taken.get(each.key, 0)) for each in credits]
    )


def _taken(correction: Correction) -> int:
    """The points that a credit has lost: all of a pending one and of status, else what could be taken."""
    before, after = correction.before, correction.after
    back = after.taken_back - before.taken_back
    return back if back or _was_active(before) else before.points


def _was_active(credit: LockedCredit) -> bool:
    return credit.state == "active" and credit.unit == "points"


async def _restore(
    services: Services, posting: Posting, credits: Sequence[DecidedCredit], *, now: datetime
) -> None:
    """Give back what was taken, once: the key of the new credit names the old one."""
    conn = posting.conn
    by_new = {new_id(): each for each in credits if each.taken}
    restored = [Restored(each.key, each.taken or 0, id_) for id_, each in by_new.items()]
    added = await _add(conn, services, restored, now=now) if restored else {}
    accounts = await open_accounts(conn, {each.member for each in credits}, now=now)
    for id_, (points, due_at) in added.items():
        accounts.by_key[by_new[id_].member].add_pending(points)
        posting.ring_at([due_at])
    await posting.post(accounts)
    await store.rename_restored(conn, [(each.key, id_) for id_, each in by_new.items()])
    untouched = [each for each in credits if not each.taken]
    if untouched:
        await store.finish(conn, [replace(each, state="open", taken=None) for each in untouched])


async def _add(
    conn: AsyncConnection, services: Services, restored: Sequence[Restored], *, now: datetime
) -> dict[UUID, tuple[int, datetime]]:
    (program_id,) = {each.member[0] for each in restored}
    grace = services.programs.versions(program_id)[-1].grace
    added = await add_restored(conn, restored, now=now, grace=grace)
    assert len(added) == len(restored), "each of them was rejected, and is locked"
    return added


def _held(credit: DecidedCredit) -> HeldAgain:
    return HeldAgain(credit.key, credit.held_due_at, timedelta(seconds=credit.hold_s))


# What is done first to last, where several decisions wait.
_DO: Final = {"rejecting": _reject, "releasing": _release, "holding": _hold, "restoring": _restore}
