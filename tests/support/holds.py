"""Spend and hold points directly in the ledger, as a checkout would."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from engage.domain.accounts.account import Account
from engage.ledger.accounts import open_accounts
from engage.ledger.holds import Hold, HoldState, add_hold, read_holds, write_holds
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from tests.support.activities import PROGRAM

HALF_AN_HOUR = timedelta(minutes=30)


async def spend(services: Services, points: int, member_id: str = "m-1", *, now: datetime) -> int:
    """Spend these points, or as many as are active; return the number."""
    spent = 0
    hold_id = new_id()

    def redeem(account: Account) -> None:
        nonlocal spent
        spent = min(points, account.active)
        if spent:
            account.redeem(spent, hold_id, now)

    def captured() -> Hold | None:
        return _hold(member_id, hold_id, "captured", spent, now, None) if spent else None

    await _change(services, member_id, redeem, now=now, add=captured)
    return spent


async def hold(
    services: Services, points: int, member_id: str = "m-1", *, now: datetime, ttl: timedelta = HALF_AN_HOUR
) -> UUID:
    """Hold points for a checkout; return the id of the hold."""
    hold_id = new_id()
    opened = _hold(member_id, hold_id, "open", points, now, now + ttl)
    await _change(
        services, member_id, lambda account: account.hold(points, hold_id, now), now=now, add=lambda: opened
    )
    return hold_id


async def end_hold(
    services: Services, hold_id: UUID, state: HoldState, member_id: str = "m-1", *, now: datetime
) -> None:
    """Capture a hold, or release it, also because it expired."""
    key = (PROGRAM, member_id)
    async with open_posting(services, cause=state) as posting:
        accounts = await open_accounts(posting.conn, [key], now=now, hold_ids=[hold_id])
        account, takes = accounts.by_key[key], accounts.takes[hold_id]
        if state == "captured":
            account.capture(takes, hold_id, now)
        else:
            account.release(takes, hold_id, now)
        await posting.post(accounts)
        stored = (await read_holds(posting.conn, [hold_id]))[hold_id]
        await write_holds(posting.conn, [replace(stored, state=state, closed_at=now)])


async def _change(
    services: Services,
    member_id: str,
    change: Callable[[Account], object],
    *,
    now: datetime,
    add: Callable[[], Hold | None],
) -> None:
    key = (PROGRAM, member_id)
    async with open_posting(services, cause="spent") as posting:
        accounts = await open_accounts(posting.conn, [key], now=now)
        change(accounts.by_key[key])
        await posting.post(accounts)
        added = add()
        if added is not None:
            await add_hold(posting.conn, added)


def _hold(
    member_id: str,
    hold_id: UUID,
    state: HoldState,
    points: int,
    now: datetime,
    expires_at: datetime | None,
) -> Hold:
    return Hold(
        program_id=PROGRAM,
        member_id=member_id,
        id=hold_id,
        purpose="checkout",
        state=state,
        points=points,
        created_at=now,
        expires_at=expires_at,
        closed_at=now if state != "open" else None,
    )
