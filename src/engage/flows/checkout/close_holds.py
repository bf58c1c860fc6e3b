"""A checkout's hold ends: captured when the order is paid, released when it is not, or by its time.

A hold ends once. Whoever asks for the end that it has come to gets the same answer again; for the other one,
a refusal. A hold whose time has ended is not captured any more, also where nobody has come round to it yet:
it ends then and there, and its points are back.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey, OrderKey
from engage.domain.money import Money
from engage.domain.refusals import Code, Refusal
from engage.flows.shop.order_events import follow_captures
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.holds import (
    Hold,
    HoldState,
    lock_overdue_holds,
    read_holds,
    read_overdue_holds,
    write_holds,
)
from engage.runtime.database import one_statement
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store.rewards.coupons import return_coupons, use_coupons
from engage.store.shop.orders import read_returned_orders

HOLDS_PER_BATCH = 500

HoldOutcome = Literal["captured", "released"]


class HoldClosing(Struct, frozen=True):
    """A request to capture or to release a hold."""

    hold_id: UUID
    outcome: HoldOutcome


class ClosedHold(Struct, frozen=True):
    """A hold that is closed. `expired`: its time ended before the shop closed it; the points are released."""

    hold_id: UUID
    order_id: str | None
    state: Literal["captured", "released", "expired"]
    points: int
    discount: Money
    closed_at: datetime | None


async def close_holds(services: Services, endings: Sequence[HoldClosing]) -> list[ClosedHold | Exception]:
    """What became of each hold, in order, or Refusal unknown_hold or hold_closed. Raises Unavailable.

    Coupons that a captured hold applied are used; those of one that is released go back to the member.
    """
    now = services.clock.now()
    async with open_posting(services, cause="captured") as posting:
        conn = posting.conn
        known = await read_holds(conn, [one.hold_id for one in endings])
        ids = [hold.id for hold in known.values() if hold.purpose == "checkout"]
        if not ids:
            return [_unknown() for _ in endings]
        accounts, holds = await _open(conn, [known[id_] for id_ in ids], now=now)
        done: list[Hold] = []
        answers: list[ClosedHold | Exception] = []
        for ending in endings:
            hold = holds.get(ending.hold_id)
            if hold is None:
                answers.append(_unknown())
                continue
            if hold.state == "open":
                late = hold.expires_at is not None and hold.expires_at <= now
                hold = holds[hold.id] = _end(accounts, hold, "expired" if late else ending.outcome, now)
                done.append(hold)
            answers.append(_answer(hold, ending.outcome))
        await _write(posting, accounts, done)
        captured = _captured_orders(holds.values())
        back = await read_returned_orders(conn, captured) if captured else []
    if back:
        await follow_captures(services, back)
    return answers


async def end_overdue(services: Services, members: Iterable[MemberKey], *, now: datetime) -> int:
    """Releases these members' holds whose time has ended by `now` and that nobody has come round to yet.
    Raises Unavailable.
    """
    async with one_statement(services.db) as conn:
        found = await read_overdue_holds(conn, members, at=now)
    if not found:
        return 0
    async with open_posting(services, cause="released") as posting:
        return await _end_late(posting, found, now=now, on_time=False)


async def release_overdue(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Releases all holds of checkouts whose time has ended by `now` and whose members nobody else has in
    hand; how many. `on_time`: each at its own time, not now. Raises Unavailable.
    """
    total = 0
    while True:
        async with open_posting(services, cause="released") as posting:
            ids = await lock_overdue_holds(posting.conn, at=now, limit=HOLDS_PER_BATCH)
            if not ids:
                return total
            found = (await read_holds(posting.conn, ids)).values()
            total += await _end_late(posting, list(found), now=now, on_time=on_time)
        if len(ids) < HOLDS_PER_BATCH:
            return total


async def _end_late(posting: Posting, found: Sequence[Hold], *, now: datetime, on_time: bool) -> int:
    accounts, holds = await _open(posting.conn, found, now=now)
    done = []
    for hold in sorted(holds.values(), key=lambda hold: (hold.expires_at or now, hold.id)):
        if hold.state == "open":
            at = hold.expires_at if on_time and hold.expires_at is not None else now
            done.append(_end(accounts, hold, "expired", at))
    await _write(posting, accounts, done)
    return len(done)


async def _open(
    conn: AsyncConnection, found: Sequence[Hold], *, now: datetime
) -> tuple[Accounts, dict[UUID, Hold]]:
    """The accounts, locked, and the holds as they are now that nobody else can end them."""
    hold_ids = [hold.id for hold in found if hold.state == "open" and hold.points]
    accounts = await open_accounts(conn, [hold.key for hold in found], now=now, hold_ids=hold_ids)
    return accounts, await read_holds(conn, [hold.id for hold in found])


def _end(accounts: Accounts, hold: Hold, state: HoldState, at: datetime) -> Hold:
    account, takes = accounts.by_key[hold.key], accounts.takes.get(hold.id, [])
    assert sum(take.points for take in takes) == hold.points
    if state == "captured":
        account.capture(takes, hold.id, at)
    else:
        account.release(takes, hold.id, at)
    return replace(hold, state=state, closed_at=at)


async def _write(posting: Posting, accounts: Accounts, done: Sequence[Hold]) -> None:
    conn = posting.conn
    if done:
        await write_holds(conn, done)
    captured = [(*hold.key, hold.id) for hold in done if _has_coupons(hold) and hold.state == "captured"]
    back = {(*hold.key, hold.id): hold for hold in done if _has_coupons(hold) and hold.state != "captured"}
    if captured:
        await use_coupons(conn, captured, at=_closed_at(done[0]))
    if back:
        await return_coupons(conn, back, now={hold.id: _closed_at(hold) for hold in back.values()})
    causes = {hold.key: "captured" if hold.state == "captured" else "released" for hold in done}
    await posting.post(accounts, causes=causes)


def _captured_orders(holds: Iterable[Hold]) -> list[OrderKey]:
    return [
        (*hold.key, hold.order_id) for hold in holds if hold.state == "captured" and hold.order_id is not None
    ]


def _closed_at(hold: Hold) -> datetime:
    assert hold.closed_at is not None
    return hold.closed_at


def _has_coupons(hold: Hold) -> bool:
    return bool((hold.request or {}).get("coupons"))


def _answer(hold: Hold, end: HoldOutcome) -> ClosedHold | Refusal:
    """Points that a release asks back are back, too, where the hold's time had ended before."""
    if hold.state != end and not (end == "released" and hold.state == "expired"):
        return Refusal(Code.HOLD_CLOSED, state=hold.state, hold_id=str(hold.id))
    assert hold.currency is not None
    discount = Money(hold.discount_minor, hold.currency)
    return ClosedHold(hold.id, hold.order_id, hold.state, hold.points, discount, hold.closed_at)


def _unknown() -> Refusal:
    return Refusal(Code.UNKNOWN_HOLD)
