"""Opening members' accounts and posting their changes: the only way to write entries, besides the bulk
statements of settlement and expiration.

The balance of an open account is locked until the transaction ends, so what was computed is what is posted.
Locks are taken in one order everywhere: orders by key, pending credits by account and id, balances by key;
lots and holds belong to the balance. The lot of a credit is in its row, so credits are locked before balances
with FOR KEY SHARE: it keeps settlement away, and nobody who holds the balance from the lot.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account
from engage.domain.accounts.balance import Balance
from engage.domain.accounts.lots import Lot, Take, spending_order
from engage.domain.keys import MemberKey
from engage.domain.refusals import AccountClosed
from engage.ledger.balances import BalanceChange, OutboxRow
from engage.schema.balances import balances
from engage.schema.entries import entries
from engage.schema.holds import holds
from engage.schema.lots import lot_moves, lots
from engage.schema.rows import Batch

_MEMBERS = Batch("k", balances, "program_id", "member_id")
_HOLDS = Batch("k", holds, "id")
_ENTRIES = Batch(
    "e",
    entries,
    *("program_id", "member_id", "seq", "kind", "at", "active_delta", "held_delta", "debt_delta"),
    *("house_account", "house_delta", "balance_after", "credit_id", "corrects", "hold_id", "reference"),
)
_MOVES = Batch(
    "m",
    lot_moves,
    *("program_id", "member_id", "entry_seq", "credit_id", "at", "active_delta", "held_delta", "expires_at"),
)
# A new lot names its first entry, an old one keeps it.
_LOTS = Batch(
    "l",
    lots,
    *("program_id", "member_id", "credit_id", "entry_seq", "points", "remaining", "expired", "active_at"),
    "expires_at",
)
_BALANCES = Batch("b", balances, "program_id", "member_id", "active", "pending", "held", "debt", "version")

_LOCK = text(f"""
SELECT b.program_id, b.member_id, b.active, b.pending, b.held, b.debt, b.version
FROM {_MEMBERS} JOIN balances b USING (program_id, member_id)
ORDER BY b.program_id, b.member_id
FOR UPDATE OF b
""")  # noqa: S608  # Names of the schema, here and below.

_LOCK_OPEN = text(f"""
SELECT b.closed FROM {_MEMBERS} JOIN balances b USING (program_id, member_id)
ORDER BY b.program_id, b.member_id
FOR UPDATE OF b
""")  # noqa: S608

# A separate statement: it sees what the transaction that held the balance before has done to the lots.
_READ_LOTS = text(f"""
SELECT k.program_id, k.member_id, l.credit_id, l.points, l.remaining, l.expired, l.active_at, l.expires_at
FROM {_MEMBERS} JOIN balances b USING (program_id, member_id)
CROSS JOIN LATERAL (
    SELECT * FROM lots WHERE account = b.account AND remaining > 0
    UNION ALL
    SELECT * FROM lots
    WHERE account = b.account AND credit_id = ANY(CAST(:credit_ids AS uuid[])) AND remaining = 0
) l
""")  # noqa: S608

# Step by step, through indexes: joined at once, it may be planned as a walk over all that a member ever held.
_READ_TAKES = text(f"""
SELECT h.program_id, h.member_id, h.id, m.credit_id, CAST(-sum(m.active_delta) AS bigint) AS points
FROM {_HOLDS}
JOIN holds h USING (id)
CROSS JOIN LATERAL (
    SELECT e.seq FROM balances b JOIN stored_entries e ON e.account = b.account AND e.hold_id = h.id
    WHERE b.program_id = h.program_id AND b.member_id = h.member_id
    OFFSET 0
) e
CROSS JOIN LATERAL (
    SELECT l.credit_id, l.active_delta FROM lot_moves l
    WHERE l.program_id = h.program_id AND l.member_id = h.member_id AND l.entry_seq = e.seq
    OFFSET 0
) m
GROUP BY 1, 2, 3, 4 HAVING sum(m.active_delta) < 0
""")  # noqa: S608

_POST = text(f"""
WITH new_entries AS (
    INSERT INTO stored_entries (account, seq, kind, at, active_delta, held_delta, debt_delta, house_account,
                                house_delta, balance_after, credit_id, corrects, hold_id, reference)
    SELECT b.account, e.seq, nullif(e.kind, 'earning'), e.at, e.active_delta, nullif(e.held_delta, 0),
           nullif(e.debt_delta, 0), nullif(e.house_account, 'issued'), e.house_delta, e.balance_after,
           e.credit_id, e.corrects, e.hold_id, e.reference
    FROM {_ENTRIES} JOIN balances b USING (program_id, member_id)
), new_moves AS (
    INSERT INTO lot_moves ({_MOVES.columns}) SELECT * FROM {_MOVES}
), changed_lots AS (
    UPDATE stored_credits c
    SET remaining = l.remaining, expired = nullif(l.expired, 0), lot_seq = coalesce(l.entry_seq, c.lot_seq),
        active_at = l.active_at, lot_points = nullif(l.points, c.points),
        lot_ends_at = CASE WHEN l.expires_at IS DISTINCT FROM c.expires_at THEN l.expires_at END
    FROM {_LOTS} JOIN balances b USING (program_id, member_id)
    WHERE c.account = b.account AND c.id = l.credit_id
), changed_balances AS (
    UPDATE balances o
    SET active = b.active, pending = b.pending, held = b.held, debt = b.debt, version = b.version
    FROM {_BALANCES}
    WHERE o.program_id = b.program_id AND o.member_id = b.member_id
)
INSERT INTO outbox (id, written_at, cause, program_ids, member_ids)
VALUES (CAST(:outbox_id AS uuid), :written_at, :cause,
        CAST(:b_program_id AS text[]), CAST(:b_member_id AS text[]))
""")  # noqa: S608


class Accounts(msgspec.Struct, frozen=True):
    """Open accounts by member; unknown members are absent. `takes` are the points that the given holds have
    of each lot, oldest lot first.
    """

    by_key: dict[MemberKey, Account]
    takes: dict[UUID, list[Take]]


async def lock_balances(conn: AsyncConnection, keys: Iterable[MemberKey]) -> None:
    """Lock balances that will be written in several statements, all before the first."""
    await conn.execute(_LOCK, _MEMBERS.of(sorted(set(keys))))


async def lock_open_balances(conn: AsyncConnection, keys: Iterable[MemberKey]) -> None:
    """Lock balances of members for whom something is decided though no points may move.

    Raises AccountClosed where one was merged or erased.
    """
    rows = await conn.execute(_LOCK_OPEN, _MEMBERS.of(sorted(set(keys))))
    if any(row.closed for row in rows):
        raise AccountClosed


async def open_accounts(
    conn: AsyncConnection,
    keys: Iterable[MemberKey],
    *,
    now: datetime,
    credit_ids: Sequence[UUID] = (),
    hold_ids: Sequence[UUID] = (),
) -> Accounts:
    """Lock balances and read their lots: those with something left, those of `credit_ids` and those that
    `hold_ids` took from. Lots whose time has ended by `now` are expired in the accounts.

    Orders and credits are locked before.
    """
    members = _MEMBERS.of(sorted(set(keys)))
    balances = {(row[0], row[1]): Balance(*row[2:]) for row in await conn.execute(_LOCK, members)}
    taken: list[tuple[UUID, UUID, int]] = []
    if hold_ids:
        rows = await conn.execute(_READ_TAKES, _HOLDS.of((hold_id,) for hold_id in hold_ids))
        # A merger may have moved a hold to another member, whose account is not open here.
        taken = [(id_, credit_id, points) for *key, id_, credit_id, points in rows if tuple(key) in balances]
    wanted = [*credit_ids, *(credit_id for _, credit_id, _ in taken)]
    lots: dict[MemberKey, list[Lot]] = {}
    for program_id, member_id, *lot in await conn.execute(_READ_LOTS, members | {"credit_ids": wanted}):
        lots.setdefault((program_id, member_id), []).append(Lot(*lot))
    by_key = {key: Account(balance, lots.get(key, [])) for key, balance in balances.items()}
    order = {lot.credit_id: spending_order(lot) for of_member in lots.values() for lot in of_member}
    takes: dict[UUID, list[Take]] = {}
    for hold_id, credit_id, points in sorted(taken, key=lambda take: order[take[1]]):
        takes.setdefault(hold_id, []).append(Take(credit_id, points))
    for account in by_key.values():
        account.expire(now)
    return Accounts(by_key, takes)


async def post(conn: AsyncConnection, accounts: Accounts, outbox: OutboxRow) -> None:
    """Write the entries, moves, lots and balances of these accounts. Fills the changes of `outbox`."""
    changed = [(key, account) for key, account in sorted(accounts.by_key.items()) if account.changed]
    if not changed:
        return
    outbox.changes = [BalanceChange(*key, balance_of(account)) for key, account in changed]
    rows = _entries(changed) | _lots(changed) | _balances(outbox.changes)
    await conn.execute(_POST, rows | outbox.parameters)


def balance_of(account: Account) -> Balance:
    """The balance after the changes. Its `seq` counts the entries, and one for a change of the pending
    balance alone.
    """
    seq = account.opened.seq + (max(len(account.movements), 1) if account.changed else 0)
    return Balance(account.active, account.pending, account.held, account.debt, seq)


def _entries(changed: list[tuple[MemberKey, Account]]) -> dict[str, list[Any]]:
    numbered = [
        (key, account.opened.seq + n, movement)
        for key, account in changed
        for n, movement in enumerate(account.movements, start=1)
    ]
    new_entries = [
        (
            *(*key, seq, e.kind, e.at, e.active, e.held, e.debt),
            *(e.house_account, e.house, e.balance_after, e.credit_id, e.corrects, e.hold_id, e.reference),
        )
        for key, seq, e in numbered
    ]
    moves = [
        (*key, seq, move.credit_id, e.at, move.active, move.held, move.expires_at)
        for key, seq, e in numbered
        for move in e.moves
    ]
    return _ENTRIES.of(new_entries) | _MOVES.of(moves)


def _lots(changed: list[tuple[MemberKey, Account]]) -> dict[str, list[Any]]:
    new = [(key, _first_seq(account, lot), lot) for key, account in changed for lot in account.new_lots]
    # A lot that moves from one account to another is new in one of them only.
    touched = [
        (key, None, account.lots[credit_id])
        for key, account in changed
        for credit_id in sorted(_touched(account) - {lot.credit_id for lot in account.new_lots})
    ]
    return _LOTS.of(
        (*key, lot.credit_id, seq, lot.points, lot.remaining, lot.expired, lot.active_at, lot.expires_at)
        for key, seq, lot in [*new, *touched]
    )


def _touched(account: Account) -> set[UUID]:
    # Points that leave a hold for good have left their lot before.
    moved = {move.credit_id for movement in account.movements for move in movement.moves if move.active}
    return moved | {
        movement.credit_id
        for movement in account.movements
        if movement.credit_id is not None and movement.kind == "expiration"
    }


def _first_seq(account: Account, lot: Lot) -> int:
    """The entry that the lot began with."""
    number = next(n for n, m in enumerate(account.movements, start=1) if m.credit_id == lot.credit_id)
    return account.opened.seq + number


def _balances(changes: list[BalanceChange]) -> dict[str, list[Any]]:
    return _BALANCES.of(
        (c.program_id, c.member_id, b.active, b.pending, b.held, b.debt, b.seq)
        for c in changes
        for b in [c.balance]
    )
