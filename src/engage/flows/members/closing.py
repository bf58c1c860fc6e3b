"""Steps that a merge and an erasure share: both close an account, and neither waits for it to be at rest."""

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account
from engage.domain.earning.merged_slots import ClosingCredit
from engage.domain.earning.unit import POINTS
from engage.domain.keys import MemberKey
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.ledger.closing.accounts import read_hold_states
from engage.runtime.services import Services

T = TypeVar("T")

ATTEMPTS = 5


class Overtaken(Exception):
    """Credits were granted or corrected after the credits were read and before the balance was locked."""


async def retry_overtaken(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until no credit is granted meanwhile. Raises Unavailable after ATTEMPTS."""
    for _ in range(ATTEMPTS):
        try:
            return await attempt()
        except Overtaken:
            continue
    raise Unavailable("member")


def check_complete(account: Account, credits: Collection[ClosingCredit]) -> None:
    """Raises Overtaken if the account has points of other credits than those locked."""
    pending = sum(c.points for c in credits if c.state == "pending" and c.unit == POINTS)
    if account.pending != pending or not account.lots.keys() <= {credit.id for credit in credits}:
        raise Overtaken


def time_of_closing(now: datetime, credits: Collection[ClosingCredit]) -> datetime:
    """The time of the entries that close an account: now, but not before its points became active, which
    another process may have seen to while this one waited for the credits.
    """
    return max([now, *(credit.active_at for credit in credits if credit.active_at is not None)])


async def closed_holds(conn: AsyncConnection, key: MemberKey) -> list[UUID]:
    """Return the holds of a member whose balance is locked. Raises Refusal points_held if one is open."""
    holds = await read_hold_states(conn, key)
    if "open" in holds.values():
        raise Refusal(Code.POINTS_HELD, member_id=key[1])
    return list(holds)


async def forget_closed(services: Services, key: MemberKey) -> None:
    """Drop closed accounts from this process's cache, and the member's slots from the gate."""
    await services.members.refresh(services.db)
    with suppress(Unavailable):  # What the gate grants wrongly, the database refuses.
        await services.gate.forget([key])
