"""What follows from the facts of orders: the ledger is brought to where they say it should be.

What each order's credits keep, and what goes back of the points and coupons that paid for it, is worked out
from all that is known; only the difference to what the ledger has is posted.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Take
from engage.domain.activity import order_reference
from engage.flows.shop.order_changes import Turn, Work, work_of
from engage.ledger.accounts import Accounts, lock_balances, open_accounts
from engage.ledger.corrections import Correction, LockedCredit, lock_credits, reduce_to, write_corrections
from engage.ledger.holds import Hold, read_holds_of_orders, write_holds
from engage.runtime.posting import Posting
from engage.runtime.services import Services
from engage.store.rewards.coupons import return_coupons


async def square(services: Services, posting: Posting, turns: Sequence[Turn], *, now: datetime) -> None:
    """Posts what follows from the facts of orders that are locked. Raises Unavailable.

    Credits are locked here, then balances: whoever calls has locked neither.
    """
    works = [await work_of(services, turn) for turn in turns]
    await _read(posting.conn, works)
    if any(work.accepting for work in works):
        if any(work.moves for work in works):
            await lock_balances(posting.conn, [work.member for work in works])
        await _accept(posting, works, now=now)
    await _correct(services, posting, works, now=now)


async def _read(conn: AsyncConnection, works: list[Work]) -> None:
    """Locks the credits that there are, and looks at the holds of what comes back."""
    old = {
        (*work.member, order_reference(work.turn.key[2])): work
        for work in works
        if work.standings and not work.turn.is_new
    }
    for credit in await lock_credits(conn, list(old)) if old else []:
        work = old[*credit.key, credit.reference]
        if credit.rule_id in work.standings:
            work.credits = [*work.credits, credit]
    await _read_holds(conn, [work for work in works if work.turn.comes_back])


async def _read_holds(conn: AsyncConnection, works: list[Work]) -> None:
    holds = await read_holds_of_orders(conn, [work.turn.key for work in works]) if works else {}
    for work in works:
        work.holds = holds.get(work.turn.key, [])


async def _accept(posting: Posting, works: list[Work], *, now: datetime) -> None:
    accepted = await posting.accept([one for work in works for one in work.accepting], now=now)
    for work in works:
        if work.turn.is_new:
            work.credits = [credit for credit in work.credits if credit.id in accepted]


async def _correct(services: Services, posting: Posting, works: list[Work], *, now: datetime) -> None:
    """Gives back what the orders were paid with, then takes back what they earned: in this order a member
    owes no points that are theirs again.
    """
    conn, accounts = posting.conn, Accounts({}, {})
    moving = [work for work in works if work.moves]
    if moving:
        await lock_balances(conn, [work.member for work in moving])
        # Whoever was waited for may have made points active only now; none are taken back before they came.
        now = services.clock.now()
        accounts = await open_accounts(
            conn,
            [work.member for work in moving],
            now=now,
            credit_ids=[credit.id for work in moving for credit in work.losing()],
            hold_ids=[hold.id for work in moving for hold in work.holds],
        )
        await _give_back(conn, accounts, moving, now=now)
    corrections = [
        Correction(credit, after, work.turn.reference if after.points < credit.points else "")
        for work in works
        for credit in work.credits
        if (after := _corrected(accounts, work, credit, now=now)) != credit
    ]
    if moving:
        await posting.post(accounts)
    if corrections:
        await write_corrections(conn, corrections, now=now)
    posting.ring_at(c.after.due_at for c in corrections if c.after.state == "pending")


def _corrected(accounts: Accounts, work: Work, credit: LockedCredit, *, now: datetime) -> LockedCredit:
    kept = work.standings[credit.rule_id].kept
    if not credit.loses(kept):
        return work.dated(credit)
    account = accounts.by_key[credit.key]
    return work.dated(reduce_to(account, credit, kept, at=now, reference=work.turn.reference))


async def _give_back(conn: AsyncConnection, accounts: Accounts, moving: list[Work], *, now: datetime) -> None:
    """The points and coupons that paid for what came back."""
    # Now that the balances are locked nobody else writes the holds.
    await _read_holds(conn, [work for work in moving if work.holds])
    giving = [(work, hold) for work in moving for hold in work.holds if work.gives(hold)]
    if not giving:
        return
    await write_holds(
        conn, [_given_back(accounts, work, hold, now=now) for work, hold in giving], closed_at=now
    )
    await return_coupons(
        conn,
        [(*work.member, hold.id) for work, hold in giving if work.turn.after.is_back],
        now=now,
        grace={work.member: work.grace for work, _ in giving},
    )


def _given_back(accounts: Accounts, work: Work, hold: Hold, *, now: datetime) -> Hold:
    """A hold that is open is released; of one that was captured the difference is reinstated."""
    account, takes = accounts.by_key[hold.key], accounts.takes.get(hold.id, [])
    if hold.state == "open":
        if takes:
            account.release(takes, hold.id, now)
        late = hold.expires_at is not None and hold.expires_at <= now
        return replace(hold, state="expired" if late else "released")
    due_back = work.due_back(hold)
    account.reinstate(
        _newest(takes, due_back - hold.reinstated),
        hold.id,
        now,
        grace_until=now + work.grace,
        reference=work.turn.reference,
    )
    return replace(hold, reinstated=due_back)


def _newest(takes: Sequence[Take], points: int) -> list[Take]:
    """So many of the points that a hold has, from the newest lots: what stays spent are the oldest."""
    newest = []
    for take in reversed(takes):
        part = min(points, take.points)
        if part > 0:
            newest.append(Take(take.credit_id, part))
            points -= part
    assert not points
    return newest
