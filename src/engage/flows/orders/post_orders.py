"""Post the differences between the facts of orders and the ledger.

All facts of an order decide what its credits keep, and which of the points and coupons that paid for it go
back. Only the difference to what the ledger has is posted.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import order_reference
from engage.flows.orders.give_back import given_back
from engage.flows.orders.order_changes import OrderChanges, OrderUpdate, changes_of
from engage.ledger.accounts import Accounts, lock_balances, open_accounts
from engage.ledger.corrections import Correction, LockedCredit, lock_credits, reduce_to, write_corrections
from engage.ledger.holds import read_holds_of_orders, write_holds
from engage.runtime.posting import Posting
from engage.runtime.services import Services
from engage.store.rewards.coupons import return_coupons


async def post_differences(
    services: Services, posting: Posting, updates: Sequence[OrderUpdate], *, now: datetime
) -> None:
    """Posts what follows from the facts of locked orders. Raises Unavailable.

    Locks credits, then balances: the caller has locked neither, or all of them before.
    """
    changes = await changes_of(services, updates)
    posting.note_changes(order.member for order in changes)
    await _lock_credits(posting.conn, changes)
    await _lock_returned(posting.conn, changes)
    if any(order.new_credits for order in changes):
        await _accept(posting, changes, now=now)
    await _correct(services, posting, changes, now=now)


async def _lock_credits(conn: AsyncConnection, changes: list[OrderChanges]) -> None:
    """Locks and reads the credits of orders that were paid before."""
    known = {
        (*order.member, order_reference(order.update.key[2])): order
        for order in changes
        if order.update.before.paid is not None
    }
    for credit in await lock_credits(conn, list(known)) if known else []:
        order = known[*credit.key, credit.reference]
        order.credits = [*order.credits, credit]


async def _lock_returned(conn: AsyncConnection, changes: list[OrderChanges]) -> None:
    """Locks the balances of orders that may give points back, and reads the holds of these orders: nobody
    else can place or close one from now on.
    """
    returned = [order for order in changes if order.update.takes_back]
    if not returned:
        return
    # Balances are locked all at once, those of new credits too.
    await lock_balances(
        conn, [order.member for order in changes if order.update.takes_back or order.new_credits]
    )
    holds = await read_holds_of_orders(conn, [order.update.key for order in returned])
    for order in returned:
        order.holds = holds.get(order.update.key, [])


async def _accept(posting: Posting, changes: list[OrderChanges], *, now: datetime) -> None:
    # The facts of an order have what boosts it.
    new = [credit for order in changes for credit in order.new_credits]
    accepted = await posting.accept(new, now=now, boosts=False)
    refused = {credit.id for credit in new} - accepted
    for order in changes if refused else ():
        order.credits = [credit for credit in order.credits if credit.id not in refused]


async def _correct(
    services: Services, posting: Posting, changes: list[OrderChanges], *, now: datetime
) -> None:
    """Gives back the points that paid for the orders, then takes back the earned ones. In this order a member
    owes no points that are given back.
    """
    conn, accounts = posting.conn, Accounts({}, {})
    changes = [order for order in changes if order.credits or order.holds]
    changing = [order for order in changes if order.changes_balance]
    if changing:
        # While this waited for the locks, points may have become active. They are not taken back before that.
        now = services.clock.now()
        accounts = await open_accounts(
            conn,
            [order.member for order in changing],
            now=now,
            credit_ids=[credit.id for order in changing for credit in order.losing_credits()],
            hold_ids=[hold.id for order in changing for hold in order.holds],
        )
        await _give_back(conn, accounts, changing, now=now)
    corrections = [
        Correction(credit, after, order.update.reference if after.points < credit.points else "")
        for order in changes
        for credit in order.credits
        if (after := _corrected(accounts, order, credit, now=now)) != credit
    ]
    if changing:
        await posting.post(accounts)
    if corrections:
        await write_corrections(conn, corrections, now=now)
    posting.ring_at(c.after.due_at for c in corrections if c.after.state == "pending")


def _corrected(
    accounts: Accounts, order: OrderChanges, credit: LockedCredit, *, now: datetime
) -> LockedCredit:
    kept = order.kept(credit)
    if not credit.loses(kept):
        return order.with_due_time(credit)
    account = accounts.by_key[credit.key]
    reduced = reduce_to(account, credit, kept, at=now, reference=order.update.reference)
    if order.has_lost_place(credit):
        return replace(reduced, reference="")  # The order may have a place again, and another credit.
    return order.with_due_time(reduced)


async def _give_back(
    conn: AsyncConnection, accounts: Accounts, changing: list[OrderChanges], *, now: datetime
) -> None:
    """Gives back the points and coupons that paid for what was returned."""
    giving = [(order, hold) for order in changing for hold in order.holds if order.gives_back(hold)]
    if not giving:
        return
    await write_holds(
        conn, [given_back(accounts, order, hold, now=now) for order, hold in giving], closed_at=now
    )
    await return_coupons(
        conn,
        [(*order.member, hold.id) for order, hold in giving if order.update.after.is_back],
        now=now,
        grace={order.member: order.grace for order, _ in giving},
    )
