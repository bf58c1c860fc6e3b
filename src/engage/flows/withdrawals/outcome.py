"""Record how a withdrawal went, and move its points, in one transaction."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.refusals import Code, Refusal
from engage.domain.withdrawals.withdrawal import Withdrawal, close
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.holds import read_hold, write_holds
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store import audit_log
from engage.store.audit_log import AuditEntry
from engage.store.withdrawals import withdrawals as store

# The failure of a withdrawal that an operator reports as not paid.
NOT_PAID = "not_paid_out"


async def change_withdrawal(
    services: Services,
    id_: UUID,
    step: Callable[[Withdrawal], Withdrawal],
    *,
    now: datetime,
    operator: str | None = None,
    keyed: Keyed[Withdrawal] | None = None,
) -> Withdrawal:
    """Apply `step` to a withdrawal under the lock of its member's balance. `operator`: who has decided it, if
    it was not the provider.

    If it becomes settled, its points are captured; if it fails, they are released. Raises Refusal not_found,
    request_in_flight, and whatever `step` raises; Unavailable.
    """
    async with open_posting(services, cause="withdrawn") as posting:
        await claim(posting.conn, keyed)
        after = await _change(posting, id_, step, now=now, operator=operator)
        await keep(posting.conn, keyed, after)
    return after


async def _change(
    posting: Posting,
    id_: UUID,
    step: Callable[[Withdrawal], Withdrawal],
    *,
    now: datetime,
    operator: str | None,
) -> Withdrawal:
    known = await store.read_withdrawal(posting.conn, id_)
    if known is None:
        raise Refusal(Code.NOT_FOUND)
    accounts = await open_accounts(posting.conn, [known.key], now=now, hold_ids=[known.hold_id])
    before = await store.lock_withdrawal(posting.conn, id_)
    assert before is not None
    after = step(before)
    if after == before:
        return before
    await store.write_withdrawals(posting.conn, [after])
    if not after.closed:
        return after
    await _close_hold(posting.conn, accounts, after, now)
    cause = "withdrawn" if after.state == "settled" else "withdrawal_failed"
    await posting.post(accounts, causes={after.key: cause})
    if operator is not None:
        await _log(posting.conn, before, after, operator=operator, now=now)
    return after


async def confirm_withdrawal(
    services: Services,
    id_: UUID,
    *,
    paid: bool,
    operator: str,
    keyed: Keyed[Withdrawal] | None = None,
) -> Withdrawal:
    """Record an operator's statement that a withdrawal was paid or not: one in cash, or one whose provider
    does not know. Repeating it changes nothing.

    Raises Refusal not_found; withdrawal_closed if it ended the other way; withdrawal_under_way if the
    provider can still report its outcome; request_in_flight; Unavailable.
    """
    now = services.clock.now()

    def confirm(withdrawal: Withdrawal) -> Withdrawal:
        if withdrawal.closed:
            if (withdrawal.state == "settled") != paid:
                raise Refusal(Code.WITHDRAWAL_CLOSED, state=withdrawal.state)
            return withdrawal
        if not withdrawal.waits_for_operator:
            raise Refusal(Code.WITHDRAWAL_UNDER_WAY, state=withdrawal.state)
        return close(withdrawal, None if paid else NOT_PAID, at=now)

    return await change_withdrawal(services, id_, confirm, now=now, operator=operator, keyed=keyed)


async def _log(
    conn: AsyncConnection, before: Withdrawal, after: Withdrawal, *, operator: str, now: datetime
) -> None:
    entry = AuditEntry(
        at=now,
        program_id=after.program_id,
        operator=operator,
        subject=f"withdrawal:{after.id}",
        action=after.state,
        before={"state": before.state},
        after={"state": after.state},
    )
    await audit_log.write(conn, entry)


async def _close_hold(
    conn: AsyncConnection, accounts: Accounts, withdrawal: Withdrawal, now: datetime
) -> None:
    account, takes = accounts.by_key[withdrawal.key], accounts.takes[withdrawal.hold_id]
    hold = await read_hold(conn, withdrawal.hold_id)
    assert hold is not None
    assert hold.state == "open"
    if withdrawal.state == "settled":
        account.capture(takes, hold.id, now, into="withdrawn")
        closed = replace(hold, state="captured")
    else:
        account.release(takes, hold.id, now)
        closed = replace(hold, state="released")
    await write_holds(conn, [closed], closed_at=now)
