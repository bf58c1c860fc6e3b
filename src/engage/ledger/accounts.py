"""Opening members' accounts and posting what was worked out on them: the one way, but for the bulk statements
of settlement and expiry, that entries are written.

Whoever opens an account holds its balance until the transaction ends, so what is worked out is what is
posted. Locks are taken in one order everywhere: orders, credits, balances, each by key; lots and holds belong
to whoever holds the balance.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account
from engage.domain.accounts.balance import Balance
from engage.domain.accounts.lots import Lot, Take, spending_order
from engage.domain.keys import MemberKey
from engage.ledger.balances import BalanceChange, OutboxRow

_LOCK = text("""
SELECT b.program_id, b.member_id, b.active, b.pending, b.held, b.debt, b.version
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[])) AS k (program_id, member_id)
JOIN balances b USING (program_id, member_id)
ORDER BY b.program_id, b.member_id
FOR UPDATE OF b
""")

# A statement of its own, so that it sees what whoever had the balance before has done to the lots.
_LOTS = text("""
SELECT l.program_id, l.member_id, l.credit_id, l.points, l.remaining, l.expired, l.active_at, l.expires_at
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[])) AS k (program_id, member_id)
JOIN lots l USING (program_id, member_id)
WHERE l.remaining > 0 OR l.credit_id = ANY(CAST(:credit_ids AS uuid[]))
""")

# Step by step, through indexes: joined at once, it may be planned as a walk over all that a member ever held.
_TAKES = text("""
SELECT h.program_id, h.member_id, h.id, m.credit_id, CAST(-sum(m.active_delta) AS bigint) AS points
FROM unnest(CAST(:hold_ids AS uuid[])) AS k (id)
JOIN holds h USING (id)
CROSS JOIN LATERAL (
    SELECT e.seq FROM entries e
    WHERE e.program_id = h.program_id AND e.member_id = h.member_id AND e.hold_id = h.id
    OFFSET 0
) e
CROSS JOIN LATERAL (
    SELECT l.credit_id, l.active_delta FROM lot_moves l
    WHERE l.program_id = h.program_id AND l.member_id = h.member_id AND l.entry_seq = e.seq
    OFFSET 0
) m
GROUP BY 1, 2, 3, 4 HAVING sum(m.active_delta) < 0
""")

_POST = text("""
WITH written AS (
    INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, held_delta, debt_delta,
                         house_account, house_delta, balance_after, credit_id, corrects, hold_id, reference)
    SELECT * FROM unnest(
        CAST(:e_program_ids AS text[]), CAST(:e_member_ids AS text[]), CAST(:seqs AS bigint[]),
        CAST(:kinds AS text[]), CAST(:ats AS timestamptz[]), CAST(:actives AS bigint[]),
        CAST(:helds AS bigint[]), CAST(:debts AS bigint[]), CAST(:house_accounts AS text[]),
        CAST(:houses AS bigint[]), CAST(:balances_after AS bigint[]), CAST(:credit_ids AS uuid[]),
        CAST(:corrects AS bigint[]), CAST(:hold_ids AS uuid[]), CAST(:references AS text[])
    )
), moved AS (
    INSERT INTO lot_moves (program_id, member_id, entry_seq, credit_id, at, active_delta, held_delta,
                           expires_at)
    SELECT * FROM unnest(
        CAST(:m_program_ids AS text[]), CAST(:m_member_ids AS text[]), CAST(:m_seqs AS bigint[]),
        CAST(:m_credit_ids AS uuid[]), CAST(:m_ats AS timestamptz[]), CAST(:m_actives AS bigint[]),
        CAST(:m_helds AS bigint[]), CAST(:m_expires_ats AS timestamptz[])
    )
), begun AS (
    INSERT INTO lots (program_id, member_id, credit_id, entry_seq, points, remaining, expired, active_at,
                      expires_at)
    SELECT * FROM unnest(
        CAST(:n_program_ids AS text[]), CAST(:n_member_ids AS text[]), CAST(:n_credit_ids AS uuid[]),
        CAST(:n_seqs AS bigint[]), CAST(:n_points AS bigint[]), CAST(:n_remaining AS bigint[]),
        CAST(:n_expired AS bigint[]), CAST(:n_active_ats AS timestamptz[]),
        CAST(:n_expires_ats AS timestamptz[])
    )
), left_over AS (
    UPDATE lots l SET remaining = u.remaining, expired = u.expired, expires_at = u.expires_at
    FROM unnest(
        CAST(:l_program_ids AS text[]), CAST(:l_member_ids AS text[]), CAST(:l_credit_ids AS uuid[]),
        CAST(:l_remaining AS bigint[]), CAST(:l_expired AS bigint[]), CAST(:l_expires_ats AS timestamptz[])
    ) AS u (program_id, member_id, credit_id, remaining, expired, expires_at)
    WHERE l.program_id = u.program_id AND l.member_id = u.member_id AND l.credit_id = u.credit_id
), projected AS (
    UPDATE balances b
    SET active = u.active, pending = u.pending, held = u.held, debt = u.debt, version = u.version
    FROM unnest(
        CAST(:b_program_ids AS text[]), CAST(:b_member_ids AS text[]), CAST(:b_actives AS bigint[]),
        CAST(:b_pendings AS bigint[]), CAST(:b_helds AS bigint[]), CAST(:b_debts AS bigint[]),
        CAST(:b_versions AS bigint[])
    ) AS u (program_id, member_id, active, pending, held, debt, version)
    WHERE b.program_id = u.program_id AND b.member_id = u.member_id
)
INSERT INTO outbox (id, created_at, cause, program_ids, member_ids)
VALUES (CAST(:outbox_id AS uuid), :written_at, :cause,
        CAST(:b_program_ids AS text[]), CAST(:b_member_ids AS text[]))
""")


class Accounts(msgspec.Struct, frozen=True):
    """Accounts that are open, by (program, member); who is missing is no member. `takes` are what holds that
    were asked for have of which lots now, oldest first.
    """

    by_key: dict[MemberKey, Account]
    takes: dict[UUID, list[Take]]


async def lock_balances(conn: AsyncConnection, keys: Iterable[MemberKey]) -> None:
    """For whoever writes balances in more than one statement: all of them are locked before the first."""
    asked = sorted(set(keys))
    await conn.execute(_LOCK, {"program_ids": [p for p, _ in asked], "member_ids": [m for _, m in asked]})


async def open_accounts(
    conn: AsyncConnection,
    keys: Iterable[MemberKey],
    *,
    now: datetime,
    credit_ids: Sequence[UUID] = (),
    hold_ids: Sequence[UUID] = (),
) -> Accounts:
    """Locks these balances and reads their lots: those with something left, those of these credits and those
    that these holds took from. What has ended by `now` has expired.

    Whoever needs credits or orders locked too locks them before.
    """
    asked = sorted(set(keys))
    columns = {"program_ids": [p for p, _ in asked], "member_ids": [m for _, m in asked]}
    balances = {(row[0], row[1]): Balance(*row[2:]) for row in await conn.execute(_LOCK, columns)}
    taken: list[tuple[UUID, UUID, int]] = []
    if hold_ids:
        rows = await conn.execute(_TAKES, {"hold_ids": list(hold_ids)})
        # A hold may have gone to another member, whom nobody asked for, in a merger.
        taken = [(id_, credit_id, points) for *key, id_, credit_id, points in rows if tuple(key) in balances]
    wanted = [*credit_ids, *(credit_id for _, credit_id, _ in taken)]
    lots: dict[MemberKey, list[Lot]] = {}
    for program_id, member_id, *lot in await conn.execute(_LOTS, columns | {"credit_ids": wanted}):
        lots.setdefault((program_id, member_id), []).append(Lot(*lot))
    by_key = {key: Account(balance, lots.get(key, [])) for key, balance in balances.items()}
    ages = {lot.credit_id: spending_order(lot) for each in lots.values() for lot in each}
    takes: dict[UUID, list[Take]] = {}
    for hold_id, credit_id, points in sorted(taken, key=lambda one: ages[one[1]]):
        takes.setdefault(hold_id, []).append(Take(credit_id, points))
    for account in by_key.values():
        account.expire(now)
    return Accounts(by_key, takes)


async def post(conn: AsyncConnection, accounts: Accounts, outbox: OutboxRow) -> None:
    """Writes the entries, moves, lots and balances of these accounts. Fills the changes of `outbox`."""
    changed = [(key, account) for key, account in sorted(accounts.by_key.items()) if account.changed]
    if not changed:
        return
    outbox.changes = [BalanceChange(*key, balance_of(account)) for key, account in changed]
    columns = _entries(changed) | _lots(changed) | _balances(outbox.changes)
    row = {"outbox_id": outbox.id, "written_at": outbox.written_at, "cause": outbox.cause}
    await conn.execute(_POST, columns | row)


def balance_of(account: Account) -> Balance:
    """The balance that the account has come to; its `seq` counts the entries, and is one on where only what
    is pending has changed.
    """
    seq = account.opened.seq + (max(len(account.movements), 1) if account.changed else 0)
    return Balance(account.active, account.pending, account.held, account.debt, seq)


def _entries(changed: list[tuple[MemberKey, Account]]) -> dict[str, object]:
    entries = [
        (key, account.opened.seq + n, movement)
        for key, account in changed
        for n, movement in enumerate(account.movements, start=1)
    ]
    moves = [(key, seq, movement.at, move) for key, seq, movement in entries for move in movement.moves]
    return {
        "e_program_ids": [key[0] for key, _, _ in entries],
        "e_member_ids": [key[1] for key, _, _ in entries],
        "seqs": [seq for _, seq, _ in entries],
        "kinds": [e.kind for _, _, e in entries],
        "ats": [e.at for _, _, e in entries],
        "actives": [e.active for _, _, e in entries],
        "helds": [e.held for _, _, e in entries],
        "debts": [e.debt for _, _, e in entries],
        "house_accounts": [e.house_account for _, _, e in entries],
        "houses": [e.house for _, _, e in entries],
        "balances_after": [e.balance_after for _, _, e in entries],
        "credit_ids": [e.credit_id for _, _, e in entries],
        "corrects": [e.corrects for _, _, e in entries],
        "hold_ids": [e.hold_id for _, _, e in entries],
        "references": [e.reference for _, _, e in entries],
        "m_program_ids": [key[0] for key, _, _, _ in moves],
        "m_member_ids": [key[1] for key, _, _, _ in moves],
        "m_seqs": [seq for _, seq, _, _ in moves],
        "m_credit_ids": [move.credit_id for _, _, _, move in moves],
        "m_ats": [at for _, _, at, _ in moves],
        "m_actives": [move.active for _, _, _, move in moves],
        "m_helds": [move.held for _, _, _, move in moves],
        "m_expires_ats": [move.expires_at for _, _, _, move in moves],
    }


def _lots(changed: list[tuple[MemberKey, Account]]) -> dict[str, object]:
    new = [(key, lot, _first_seq(account, lot)) for key, account in changed for lot in account.new_lots]
    # A lot that goes from one account to another is new in one of them only.
    old = [
        (key, account.lots[credit_id])
        for key, account in changed
        for credit_id in sorted(_touched(account) - {lot.credit_id for lot in account.new_lots})
    ]
    return {
        "n_program_ids": [key[0] for key, _, _ in new],
        "n_member_ids": [key[1] for key, _, _ in new],
        "n_credit_ids": [lot.credit_id for _, lot, _ in new],
        "n_seqs": [seq for _, _, seq in new],
        "n_points": [lot.points for _, lot, _ in new],
        "n_remaining": [lot.remaining for _, lot, _ in new],
        "n_expired": [lot.expired for _, lot, _ in new],
        "n_active_ats": [lot.active_at for _, lot, _ in new],
        "n_expires_ats": [lot.expires_at for _, lot, _ in new],
        "l_program_ids": [key[0] for key, _ in old],
        "l_member_ids": [key[1] for key, _ in old],
        "l_credit_ids": [lot.credit_id for _, lot in old],
        "l_remaining": [lot.remaining for _, lot in old],
        "l_expired": [lot.expired for _, lot in old],
        "l_expires_ats": [lot.expires_at for _, lot in old],
    }


def _touched(account: Account) -> set[UUID]:
    # What leaves a hold for good has left its lot before.
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


def _balances(changes: list[BalanceChange]) -> dict[str, object]:
    return {
        "b_program_ids": [c.program_id for c in changes],
        "b_member_ids": [c.member_id for c in changes],
        "b_actives": [c.balance.active for c in changes],
        "b_pendings": [c.balance.pending for c in changes],
        "b_helds": [c.balance.held for c in changes],
        "b_debts": [c.balance.debt for c in changes],
        "b_versions": [c.balance.seq for c in changes],
    }
