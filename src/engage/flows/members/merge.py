"""Two accounts of one member become one: everything that one of them has goes to the other.

Its tokens, its cards and events that name it are the other one's from then on.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account, Take, age
from engage.domain.accounts.balance import Balance
from engage.domain.keys import MemberKey, merge_reference
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.ledger.accounts import Accounts, lock_balances, open_accounts
from engage.ledger.balances import read_balances
from engage.ledger.closing import merge as ledger
from engage.ledger.closing.accounts import (
    ClosingCredit,
    close_accounts,
    lock_credits,
    read_hold_states,
    reverse_pending,
)
from engage.runtime.member_cache import is_member_id
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.signals.topics import CLOSED
from engage.store.members.closing import add_closings, lock_orders, merge_rows
from engage.store.members.members import Profile, lock_profiles, member_erased, read_cards

CAUSE = "merged"

# What is earned while the locks are taken sends us round again.
ROUNDS = 5


class Overtaken(Exception):
    """Something was earned between the lock of the credits and that of the balance."""


class MergeResult(Struct, frozen=True):
    """The surviving member. `merged` is the id that now leads to them."""

    program: str
    member_id: str
    merged: str
    balance: Balance
    card_numbers: list[str]


async def merge_members(
    services: Services, program_id: str, member_id: str, *, into: str, reason: str, operator: str
) -> MergeResult:
    """Merges a member into another one, who stays. Doing it again changes nothing.

    Raises Refusal unknown_member, member_erased, member_merged (into somebody else), points_held while a
    checkout or a withdrawal of the member is open; or Unavailable, also where the two are never at rest.
    """
    if not is_member_id(member_id):
        raise Refusal(Code.UNKNOWN_MEMBER)
    for _ in range(ROUNDS):
        try:
            return await _merge(services, program_id, member_id, into=into, reason=reason, operator=operator)
        except Overtaken:
            continue
    raise Unavailable("member")


async def _merge(
    services: Services, program_id: str, member_id: str, *, into: str, reason: str, operator: str
) -> MergeResult:
    """Raises Overtaken, and what `merge_members` raises."""
    now = services.clock.now()
    async with open_posting(services, cause=CAUSE) as posting:
        conn = posting.conn
        old, into = await _pair(conn, program_id, member_id, into)
        if old is not None:
            await _move_all(services, posting, old.key, into, now=now)
            await add_closings(
                conn, program_id, [member_id], into=into, reason=reason, operator=operator, now=now
            )
        key = (program_id, into)
        balance, cards = (await read_balances(conn, [key]))[key], await read_cards(conn, key)
    await forget_closed(services, key)
    return MergeResult(program_id, into, member_id, balance, cards)


async def _pair(
    conn: AsyncConnection, program_id: str, member_id: str, into: str
) -> tuple[Profile | None, str]:
    """(the one to merge, or None where that is done; the id of the one who stays), both of them locked."""
    found = await lock_profiles(conn, program_id, [member_id, into])
    if member_id not in found or into not in found:
        raise Refusal(Code.UNKNOWN_MEMBER)
    if any(profile.erased_at is not None for profile in found.values()):
        raise member_erased()
    old = found[member_id]
    asked, into = into, found[into].merged_into or into
    if old.merged_into is not None and (old.merged_into != into or asked == member_id):
        raise Refusal(Code.MEMBER_MERGED, into=old.merged_into)
    if into == member_id:
        # Into themselves, or into one who was merged into them.
        raise Refusal(Code.MEMBER_MERGED, into=into)
    if into not in found:
        await lock_profiles(conn, program_id, [into])
    return (old if old.merged_into is None else None), into


async def _move_all(
    services: Services, posting: Posting, key: MemberKey, into: str, *, now: datetime
) -> None:
    """Raises Overtaken, and Refusal points_held."""
    conn, survivor, wall = posting.conn, (key[0], into), services.clock.wall()
    await lock_orders(conn, key[0], [key[1], into])
    credits = await lock_credits(conn, key)
    runs = _runs(services.programs.versions(key[0]))
    placed = await ledger.copy_credits(conn, key, into, without=runs, now=now)
    await lock_balances(conn, [key, survivor])
    holds = await closed_holds(conn, key)
    accounts = await open_accounts(
        conn, [key, survivor], now=now, credit_ids=[c.id for c in credits], hold_ids=holds
    )
    old = accounts.by_key[key]
    check_told(old, credits)
    whole = _whole(old, credits, accounts)
    await ledger.add_transfers(conn, key, into, _transfers(credits, whole, placed), now=now)
    await ledger.fill_credits(conn, key, into, sorted(whole))
    await reverse_pending(conn, key, now=now)
    _move(accounts, key, survivor, whole, now=now)
    await posting.post(accounts, causes={key: CLOSED, survivor: CAUSE})
    await merge_rows(conn, key, into, now=now, wall=wall)
    await close_accounts(conn, key[0], [key[1]])


async def closed_holds(conn: AsyncConnection, key: MemberKey) -> list[UUID]:
    """The holds of a member whose balance is locked. Raises Refusal points_held where one is open."""
    holds = await read_hold_states(conn, key)
    if "open" in holds.values():
        raise Refusal(Code.POINTS_HELD, member_id=key[1])
    return list(holds)


def check_told(account: Account, credits: Collection[ClosingCredit]) -> None:
    """Raises Overtaken where the account has more than these credits: they were read too early."""
    pending = sum(credit.points for credit in credits if credit.state == "pending")
    if account.pending != pending or not account.lots.keys() <= {credit.id for credit in credits}:
        raise Overtaken


def _runs(versions: Iterable[Program]) -> set[str]:
    """The rules that count days in a row: two runs of days are not one."""
    found: set[str] = set()
    for version in versions:
        rules = version.earning.rules
        for streak in rules.streaks:
            found |= {streak.id, *(follower.id for follower in rules.followers.get(streak.id, ()))}
    return found


def _whole(account: Account, credits: Collection[ClosingCredit], accounts: Accounts) -> set[UUID]:
    """The credits that go on with what they are worth: those that are pending, that have something left, that
    were spent where it may come back, or that may be taken back. Of all others only the place is kept.
    """
    spent = {take.credit_id for takes in accounts.takes.values() for take in takes}
    return {
        credit.id
        for credit in credits
        if credit.state == "pending"
        or (
            (lot := account.lots.get(credit.id)) is not None
            and (lot.remaining or credit.id in spent or credit.reference is not None)
        )
    }


def _transfers(
    credits: Collection[ClosingCredit], whole: set[UUID], placed: set[UUID]
) -> list[tuple[UUID, str | None]]:
    """Those that go on under a key of their own. One of each reference keeps it: the first."""
    known: set[str] = set()
    transfers = []
    for credit in credits:
        if credit.id in whole - placed:
            kept = None if credit.reference in known else credit.reference
            if kept is not None:
                known.add(kept)
            transfers.append((credit.id, kept))
    return transfers


def _move(
    accounts: Accounts, key: MemberKey, survivor: MemberKey, whole: set[UUID], *, now: datetime
) -> None:
    """All points, and what is owed, from one account to the other."""
    old, new = accounts.by_key[key], accounts.by_key[survivor]
    lots = [replace(lot) for lot in sorted(old.lots.values(), key=age) if lot.credit_id in whole]
    taken: dict[UUID, list[tuple[UUID, Take]]] = {}
    for hold_id, takes in accounts.takes.items():
        for take in takes:
            taken.setdefault(take.credit_id, []).append((hold_id, take))
    owed = old.debt
    to, from_ = merge_reference(survivor[1]), merge_reference(key[1])
    if old.active:
        old.take_out(old.active, now, kind="transfer", into="transferred", reference=to)
    old.owe(-owed, now, kind="transfer", into="transferred", reference=to)
    new.add_pending(old.pending)
    old.drop_pending(old.pending)
    for lot in lots:
        spent: list[tuple[UUID | None, int]] = [
            (hold_id, take.points) for hold_id, take in taken.get(lot.credit_id, [])
        ]
        rest = lot.points - lot.remaining - sum(points for _, points in spent)
        new.move_in(lot, [*spent, *([(None, rest)] if rest else [])], now, reference=from_)
    new.owe(owed, now, kind="transfer", into="transferred", reference=from_)


async def forget_closed(services: Services, key: MemberKey) -> None:
    """Drops closed accounts from the cache of this process, and this member's slots from the gate."""
    await services.members.refresh(services.db)
    try:
        await services.gate.forget([key])
    except Unavailable:
        return  # What it grants too much, the database refuses.
