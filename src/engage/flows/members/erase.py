"""A member is erased: the ledger stays whole, and nothing in it, or anywhere else, tells who it was.

What is kept, and why, is in docs/decisions/0007-erasure.md.
"""

import secrets

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import ERASURE, MemberKey
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.members.merge import ROUNDS, Overtaken, check_told, closed_holds, forget_closed
from engage.ledger.accounts import lock_balances, open_accounts
from engage.ledger.closing.accounts import close_accounts, lock_credits, reverse_pending
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.signals.topics import CLOSED
from engage.store.members.closing import add_closings, erase_rows, lock_orders
from engage.store.members.members import lock_profiles, read_merged_into


async def erase_member(services: Services, program_id: str, member_id: str, *, operator: str) -> None:
    """Erases a member, with all who were merged into them. Doing it again changes nothing.

    Points that are left are forfeited, as expired ones are; what is owed is written off; what is pending
    never comes.

    Raises Refusal unknown_member, points_held while a checkout or a withdrawal is open; or Unavailable, also
    where the account is never at rest.
    """
    for _ in range(ROUNDS):
        try:
            async with open_posting(services, cause=CLOSED) as posting:
                key, names = await _lock(posting.conn, program_id, member_id)
                if not names:
                    return
                await _erase(services, posting, key, names, operator=operator)
        except Overtaken:
            continue
        await forget_closed(services, key)
        return
    raise Unavailable("member")


async def _lock(conn: AsyncConnection, program_id: str, member_id: str) -> tuple[MemberKey, list[str]]:
    """(the member, whoever else was merged; the ids of them all, locked, or none where they are erased)."""
    asked = (await lock_profiles(conn, program_id, [member_id])).get(member_id)
    if asked is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    key = (program_id, asked.merged_into or member_id)
    names = [key[1], *await read_merged_into(conn, key)]
    locked = await lock_profiles(conn, program_id, names)
    if locked[key[1]].merged_into is not None:
        raise Overtaken
    return key, names if locked[key[1]].erased_at is None else []


async def _erase(
    services: Services, posting: Posting, key: MemberKey, names: list[str], *, operator: str
) -> None:
    """Raises Overtaken, and Refusal points_held."""
    conn, now, wall = posting.conn, services.clock.now(), services.clock.wall()
    await lock_orders(conn, key[0], names)
    credits = await lock_credits(conn, key)
    await lock_balances(conn, [key])
    await closed_holds(conn, key)
    accounts = await open_accounts(conn, [key], now=now)
    account = accounts.by_key[key]
    check_told(account, credits)
    account.drop_pending(account.pending)
    await reverse_pending(conn, key, now=now)
    if account.active:
        account.take_out(account.active, now, kind="adjustment", into="expired", reference=ERASURE)
    account.owe(-account.debt, now, kind="adjustment", into="adjusted", reference=ERASURE)
    await posting.post(accounts)
    await close_accounts(conn, key[0], names)
    await erase_rows(conn, key[0], names, salt=secrets.token_hex(), now=now, wall=wall)
    await add_closings(conn, key[0], names, into=None, reason=None, operator=operator, now=now)
