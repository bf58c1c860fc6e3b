"""Erase a member: the ledger stays complete, and nothing in the database identifies the person.

docs/decisions/0007-erasure.md says what is kept, and why.
"""

import secrets

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import ERASURE, MemberKey
from engage.domain.refusals import Code, Refusal
from engage.flows.members.closing import (
    Overtaken,
    check_complete,
    closed_holds,
    forget_closed,
    retry_overtaken,
    time_of_closing,
)
from engage.ledger.accounts import lock_balances, open_accounts
from engage.ledger.closing.accounts import close_accounts, lock_credits, read_credits, reverse_pending
from engage.ledger.person_slots import keep_person_slots
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.signals.changes import CLOSED
from engage.store.members.closing import add_closings, erase_rows, lock_orders
from engage.store.members.members import lock_profiles, read_merged_into


async def erase_member(
    services: Services,
    program_id: str,
    member_id: str,
    *,
    operator: str,
    keyed: Keyed[MemberKey] | None = None,
) -> MemberKey:
    """Erase a member and everyone merged into them; return the key of the survivor. Repeating it changes
    nothing.

    Remaining points are forfeited like expired ones, debt is written off, and pending points are cancelled.

    Raises Refusal unknown_member, points_held while a hold is open, request_in_flight; Unavailable, also if
    new credits keep arriving.
    """
    key = await retry_overtaken(lambda: _erase(services, program_id, member_id, operator, keyed))
    await forget_closed(services, key)
    return key


async def _erase(
    services: Services, program_id: str, member_id: str, operator: str, keyed: Keyed[MemberKey] | None
) -> MemberKey:
    """Return the survivor's key. Raises Overtaken, and the refusals of `erase_member`."""
    async with open_posting(services, cause=CLOSED) as posting:
        await claim(posting.conn, keyed)
        key, ids = await _lock(posting.conn, program_id, member_id)
        if ids:
            await _erase_all(services, posting, key, ids, operator=operator)
        await keep(posting.conn, keyed, key)
    return key


async def _lock(conn: AsyncConnection, program_id: str, member_id: str) -> tuple[MemberKey, list[str]]:
    """Lock a member and everyone merged into them; return (the survivor, all ids, or none if erased already).

    Raises Refusal unknown_member; Overtaken.
    """
    profile = (await lock_profiles(conn, program_id, [member_id])).get(member_id)
    if profile is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    key = (program_id, profile.merged_into or member_id)
    ids = [key[1], *await read_merged_into(conn, key)]
    locked = await lock_profiles(conn, program_id, ids)
    if locked[key[1]].merged_into is not None:
        raise Overtaken
    return key, ids if locked[key[1]].erased_at is None else []


async def _erase_all(
    services: Services, posting: Posting, key: MemberKey, ids: list[str], *, operator: str
) -> None:
    """Raises Overtaken, Refusal points_held."""
    conn, now, wall = posting.conn, services.clock.now(), services.clock.wall()
    await lock_orders(conn, key[0], ids)
    await lock_credits(conn, key)
    await lock_balances(conn, [key])
    credits = await read_credits(conn, key)
    now = time_of_closing(now, credits)
    await closed_holds(conn, key)
    accounts = await open_accounts(conn, [key], now=now)
    account = accounts.by_key[key]
    check_complete(account, credits)
    account.drop_pending(account.pending)
    await reverse_pending(conn, key, now=now)
    if account.active:
        account.deduct(account.active, now, kind="adjustment", into="expired", reference=ERASURE)
    account.add_debt(-account.debt, now, kind="adjustment", into="adjusted", reference=ERASURE)
    await posting.post(accounts)
    await keep_person_slots(conn, key, ids, credits)
    await close_accounts(conn, key[0], ids)
    await erase_rows(conn, key[0], ids, salt=secrets.token_hex(), now=now, wall=wall)
    await add_closings(conn, key[0], ids, into=None, reason=None, operator=operator, now=now)
    posting.note_changes([key])
