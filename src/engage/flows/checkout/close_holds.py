"""Close holds of checkouts: capture them when the order is paid; release them when not, or when time is up.

A hold is closed once. Repeating its outcome returns the same answer; the other outcome is refused. A hold
whose time is over can no longer be captured, even if no worker has released it yet: it expires at once, and
its points are released. A hold for an order that another member has paid, or of which nothing is left, is
released as well.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey, OrderKey
from engage.domain.money import Money
from engage.domain.refusals import Code, Refusal
from engage.flows.orders.captures import ReportedOrders, read_reported_orders
from engage.flows.orders.give_back import given_back
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.holds import (
    Hold,
    HoldState,
    lock_overdue_holds,
    read_holds,
    read_overdue_holds,
    write_holds,
)
from engage.runtime.batch import decide_each
from engage.runtime.database import one_statement
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store.rewards.coupons import return_coupons, use_coupons

HOLDS_PER_BATCH = 500

HoldOutcome = Literal["captured", "released"]


class HoldClosing(Struct, frozen=True):
    """A request to capture or to release a hold. `within`: the programs that the caller acts for; all if
    None.
    """

    hold_id: UUID
    outcome: HoldOutcome
    within: Collection[str] | None = None


class ClosedHold(Struct, frozen=True):
    """A hold that is closed. `expired`: its time ended before the shop closed it; the points are released."""

    hold_id: UUID
    order_id: str | None
    state: Literal["captured", "released", "expired"]
    points: int
    discount: Money
    closed_at: datetime | None


class _State(Struct):
    """Accounts and holds under lock, changed by one request after the other."""

    now: datetime
    accounts: Accounts
    holds: dict[UUID, Hold]
    closed: list[Hold]
    orders: ReportedOrders = ReportedOrders()


async def close_holds(services: Services, closings: Sequence[HoldClosing]) -> list[ClosedHold | Refusal]:
    """Capture or release holds; return them in order, or Refusal unknown_hold, other_program,
    hold_closed.

    Coupons applied by a captured hold are used; those of a released one return to the member. Of an order of
    which something was returned before the capture, the share goes back at once. Raises Unavailable.
    """
    now = services.clock.now()
    async with open_posting(services, cause="captured", direct=True) as posting:
        known = await read_holds(posting.conn, [closing.hold_id for closing in closings])
        checkout_holds = [hold for hold in known.values() if hold.purpose == "checkout"]
        state = await _lock(posting.conn, checkout_holds, now=now)
        capturing = {closing.hold_id for closing in closings if closing.outcome == "captured"}
        state.orders = await read_reported_orders(services, posting.conn, _open_orders(state, capturing))
        answers = decide_each(closings, partial(_answer, state))
        await _write(posting, state)
    return answers


async def release_overdue_of(services: Services, members: Iterable[MemberKey], *, now: datetime) -> int:
    """Release these members' holds whose time is over; return the count. Raises Unavailable."""
    async with one_statement(services.db) as conn:
        overdue = await read_overdue_holds(conn, members, at=now)
    if not overdue:
        return 0
    async with open_posting(services, cause="released") as posting:
        return await _expire(posting, overdue, now=now, on_time=False)


async def release_overdue(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Release all checkouts' holds whose time is over at `now`, except those of members locked by others;
    return the count. With `on_time` each closes at its own time, not at `now`. Raises Unavailable.
    """
    total = 0
    while True:
        async with open_posting(services, cause="released") as posting:
            ids = await lock_overdue_holds(
                posting.conn, now=now, ahead=services.clock.ahead, on_time=on_time, limit=HOLDS_PER_BATCH
            )
            if not ids:
                return total
            overdue = (await read_holds(posting.conn, ids)).values()
            total += await _expire(posting, list(overdue), now=now, on_time=on_time)
        if len(ids) < HOLDS_PER_BATCH:
            return total


async def _expire(posting: Posting, overdue: Sequence[Hold], *, now: datetime, on_time: bool) -> int:
    state = await _lock(posting.conn, overdue, now=now)
    for hold in sorted(state.holds.values(), key=lambda hold: (hold.expires_at or now, hold.id)):
        if hold.state == "open":
            at = hold.expires_at if on_time and hold.expires_at is not None else now
            _close(state, hold, "expired", at)
    await _write(posting, state)
    return len(state.closed)


async def _lock(conn: AsyncConnection, holds: Sequence[Hold], *, now: datetime) -> _State:
    """Lock the accounts, then read the holds again: nobody else can close them now."""
    with_points = [hold.id for hold in holds if hold.state == "open" and hold.points]
    accounts = await open_accounts(conn, [hold.key for hold in holds], now=now, hold_ids=with_points)
    return _State(now, accounts, await read_holds(conn, [hold.id for hold in holds]), [])


async def _write(posting: Posting, state: _State) -> None:
    closed = state.closed
    if closed:
        await write_holds(posting.conn, closed)
    with_coupons = [hold for hold in closed if (hold.request or {}).get("coupons")]
    captured = [(*hold.key, hold.id) for hold in with_coupons if hold.state == "captured"]
    released = {(*hold.key, hold.id): hold for hold in with_coupons if hold.state != "captured"}
    if captured:
        await use_coupons(posting.conn, captured, at=state.now)
    if released:
        closed_at = {hold.id: hold.closed_at or state.now for hold in released.values()}
        await return_coupons(posting.conn, released, now=closed_at)
    causes = {hold.key: "captured" if hold.state == "captured" else "released" for hold in closed}
    await posting.post(state.accounts, causes=causes)


def _answer(state: _State, closing: HoldClosing) -> ClosedHold:
    """Raises Refusal unknown_hold, other_program, hold_closed."""
    hold = state.holds.get(closing.hold_id)
    if hold is None:
        raise Refusal(Code.UNKNOWN_HOLD)
    if closing.within is not None and hold.program_id not in closing.within:
        raise Refusal(Code.OTHER_PROGRAM, program=hold.program_id)
    if hold.state == "open":
        hold = _close(state, hold, _outcome(state, hold, closing), state.now)
    # An expired hold has released its points, so a release finds what it asks for.
    if hold.state != closing.outcome and (closing.outcome, hold.state) != ("released", "expired"):
        raise Refusal(Code.HOLD_CLOSED, state=hold.state, hold_id=str(hold.id))
    assert hold.state != "open"
    assert hold.currency is not None
    discount = Money(hold.discount_minor, hold.currency)
    return ClosedHold(hold.id, hold.order_id, hold.state, hold.points, discount, hold.closed_at)


def _outcome(state: _State, hold: Hold, closing: HoldClosing) -> HoldState:
    """Return how an open hold ends: not captured if its time is over or the order needs no points."""
    if hold.expires_at is not None and hold.expires_at <= state.now:
        return "expired"
    return "released" if _order_of(hold) in state.orders.ended else closing.outcome


def _close(state: _State, hold: Hold, outcome: HoldState, at: datetime) -> Hold:
    account, takes = state.accounts.by_key[hold.key], state.accounts.takes.get(hold.id, [])
    assert sum(take.points for take in takes) == hold.points
    if outcome == "captured":
        account.capture(takes, hold.id, at)
    else:
        account.release(takes, hold.id, at)
    closed = replace(hold, state=outcome, closed_at=at)
    order = state.orders.returned.get(_order_of(hold))
    if outcome == "captured" and order is not None:
        closed = given_back(state.accounts, order, closed, now=at)
    state.holds[hold.id] = closed
    state.closed.append(closed)
    return closed


def _open_orders(state: _State, ids: Collection[UUID]) -> list[OrderKey]:
    """The orders of those of these holds that are open."""
    return [_order_of(hold) for hold in state.holds.values() if hold.id in ids and hold.state == "open"]


def _order_of(hold: Hold) -> OrderKey:
    return *hold.key, hold.order_id or ""  # That of an erased member has no order any more.
