"""What is heard of a withdrawal changes it, and its points with it, in one transaction."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.refusals import Code, Refusal
from engage.domain.withdrawals.withdrawal import Withdrawal, close
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.holds import read_hold, write_holds
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.withdrawals import withdrawals as store

# What an operator says of one that was not paid.
NOT_PAID = "not_paid_out"


async def change_withdrawal(
    services: Services, id_: UUID, step: Callable[[Withdrawal], Withdrawal], *, now: datetime
) -> Withdrawal:
    """Makes of a withdrawal what `step` makes of it, as it is while its member's balance is locked.

    One that ends settled has its points captured, one that fails has them released. Raises Refusal not_found,
    and what `step` raises.
    """
    async with open_posting(services, cause="withdrawn") as posting:
        conn = posting.conn
        known = await store.read_withdrawal(conn, id_)
        if known is None:
            raise Refusal(Code.NOT_FOUND)
        accounts = await open_accounts(conn, [known.key], now=now, hold_ids=[known.hold_id])
        before = await store.lock_withdrawal(conn, id_)
        assert before is not None
        after = step(before)
        if after == before:
            return before
        await store.write_withdrawals(conn, [after])
        if not after.closed:
            return after
        await _end(conn, accounts, after, now)
        await posting.post(
            accounts, causes={after.key: "withdrawn" if after.state == "settled" else "withdrawal_failed"}
        )
    return after


async def confirm_withdrawal(services: Services, id_: UUID, *, paid: bool) -> Withdrawal:
    """An operator says how a withdrawal ended: one in cash, or one whose provider does not know.

    The same again changes nothing. Raises Refusal not_found, withdrawal_closed where it ended the other way,
    withdrawal_under_way where its provider is to say it.
    """
    now = services.clock.now()

    def say(withdrawal: Withdrawal) -> Withdrawal:
        if withdrawal.closed:
            if (withdrawal.state == "settled") != paid:
                raise Refusal(Code.WITHDRAWAL_CLOSED, state=withdrawal.state)
            return withdrawal
        if withdrawal.method != "cash" and withdrawal.state != "unknown":
            raise Refusal(Code.WITHDRAWAL_UNDER_WAY, state=withdrawal.state)
        return close(withdrawal, None if paid else NOT_PAID, at=now)

    return await change_withdrawal(services, id_, say, now=now)


async def _end(conn: AsyncConnection, accounts: Accounts, withdrawal: Withdrawal, now: datetime) -> None:
    """Moves the points: out for good, or back to the member."""
    account, takes = accounts.by_key[withdrawal.key], accounts.takes[withdrawal.hold_id]
    hold = await read_hold(conn, withdrawal.hold_id)
    assert hold is not None
    assert hold.state == "open"
    if withdrawal.state == "settled":
        account.capture(takes, hold.id, now, into="withdrawn")
        await write_holds(conn, [replace(hold, state="captured")], closed_at=now)
        return
    account.release(takes, hold.id, now)
    await write_holds(conn, [replace(hold, state="released")], closed_at=now)
