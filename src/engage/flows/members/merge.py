"""Merge two accounts of one member: the survivor gets everything that the other one has.

The other's tokens and cards, and events that name it, belong to the survivor from then on.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account
from engage.domain.accounts.balance import Balance
from engage.domain.accounts.lots import Take, spending_order
from engage.domain.earning.definition import Rule
from engage.domain.earning.merged_slots import ClosingCredit, DayUse, Fit, fit
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.unit import POINTS, STATUS
from engage.domain.keys import MemberKey, merge_reference
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.confirmations import apply_confirmations
from engage.flows.members.closing import (
    ATTEMPTS,
    Overtaken,
    check_complete,
    closed_holds,
    forget_closed,
    retry_overtaken,
    time_of_closing,
)
from engage.flows.members.merge_streaks import move_freezes, use_days
from engage.flows.orders.shared_orders import drop_second_payments, lock_shared_orders, post_joined_orders
from engage.ledger.accounts import Accounts, lock_balances, open_accounts
from engage.ledger.balances import read_balances
from engage.ledger.closing import merge as ledger
from engage.ledger.closing.accounts import (
    close_accounts,
    lock_credits,
    read_credits,
    reverse_pending,
)
from engage.ledger.confirmations import lock_all_waiting
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.member_cache import is_member_id
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.runtime.terms import terms_named
from engage.signals.changes import CLOSED
from engage.store.members.closing import add_closings, lock_orders, merge_rows
from engage.store.members.members import Profile, lock_profiles, member_erased, read_cards

CAUSE = "merged"

# A day of a streak is over in every zone after this time.
DAYS_OPEN = timedelta(days=3)


class MergeResult(Struct, frozen=True):
    """The surviving member. `merged` is the id that now leads to them."""

    program: str
    member_id: str
    merged: str
    balance: Balance
    card_numbers: list[str]


async def merge_members(
    services: Services,
    program_id: str,
    member_id: str,
    *,
    into: str,
    reason: str,
    operator: str,
    keyed: Keyed[MergeResult] | None = None,
) -> MergeResult:
    """Merge a member into another one, the survivor. Repeating it changes nothing.

    Raises Refusal unknown_member, member_erased, member_merged (into another member), points_held while a
    hold of the member is open, request_in_flight; Unavailable, also if new credits keep arriving.
    """
    if not is_member_id(member_id):
        raise Refusal(Code.UNKNOWN_MEMBER)
    return await retry_overtaken(
        lambda: _merge(services, program_id, member_id, keyed, into=into, reason=reason, operator=operator)
    )


async def _merge(
    services: Services,
    program_id: str,
    member_id: str,
    keyed: Keyed[MergeResult] | None,
    *,
    into: str,
    reason: str,
    operator: str,
) -> MergeResult:
    """Raises Overtaken, and the refusals of `merge_members`."""
    now = services.clock.now()
    async with open_posting(services, cause=CAUSE) as posting:
        conn = posting.conn
        await claim(conn, keyed)
        old, into = await _pair(conn, program_id, member_id, into)
        if old is not None:
            await _move_all(services, posting, old.key, into, now=now)
            posting.note_changes([(program_id, into)])
            await add_closings(
                conn, program_id, [member_id], into=into, reason=reason, operator=operator, now=now
            )
        key = (program_id, into)
        balance, cards = (await read_balances(conn, [key]))[key], await read_cards(conn, key)
        merged = MergeResult(program_id, into, member_id, balance, cards)
        await keep(conn, keyed, merged)
    await forget_closed(services, key)
    return merged


async def _pair(
    conn: AsyncConnection, program_id: str, member_id: str, into: str
) -> tuple[Profile | None, str]:
    """Lock both members; return (the one to merge, or None if that is done, and the survivor's id)."""
    found = await lock_profiles(conn, program_id, [member_id, into])
    if member_id not in found or into not in found:
        raise Refusal(Code.UNKNOWN_MEMBER)
    if any(profile.erased_at is not None for profile in found.values()):
        raise member_erased()
    old = found[member_id]
    requested, into = into, found[into].merged_into or into
    if old.merged_into is not None and (old.merged_into != into or requested == member_id):
        raise Refusal(Code.MEMBER_MERGED, into=old.merged_into)
    if into == member_id:
        # Into itself, or into a member who was merged into it.
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
    shared = await lock_shared_orders(conn, key, into)
    await lock_credits(conn, key)
    credits = await read_credits(conn, key)
    now = time_of_closing(now, credits)
    fitted, copied = await _fit_slots(services, posting, key, into, credits, now=now)
    await lock_all_waiting(conn, survivor)
    await lock_balances(conn, [key, survivor])
    if await read_credits(conn, key) != credits:
        raise Overtaken
    if await drop_second_payments(services, posting, shared, now=now):
        credits = await read_credits(conn, key)
    holds = await closed_holds(conn, key)
    accounts = await open_accounts(
        conn, [key, survivor], now=now, credit_ids=[c.id for c in credits], hold_ids=holds
    )
    old = accounts.by_key[key]
    check_complete(old, credits)
    live = _live_credits(old, credits, accounts) - fitted.exceeding
    await ledger.add_transfers(conn, key, into, _transfers(credits, live, copied), now=now)
    await ledger.fill_credits(conn, key, into, sorted(live))
    await reverse_pending(conn, key, now=now)
    pending = sum(c.points for c in credits if c.state == "pending" and c.unit == POINTS and c.id in live)
    _move_points(accounts, key, survivor, live, pending, now=now)
    await posting.post(accounts, causes={key: CLOSED, survivor: CAUSE})
    await merge_rows(conn, key, into, now=now, wall=wall)
    await apply_confirmations(services, posting, survivor)
    await close_accounts(conn, key[0], [key[1]])
    await post_joined_orders(services, posting, shared, now=now)


async def _fit_slots(
    services: Services,
    posting: Posting,
    key: MemberKey,
    into: str,
    credits: Sequence[ClosingCredit],
    *,
    now: datetime,
) -> tuple[Fit, set[UUID]]:
    """Give the credits slots of the survivor; return what fits, and the ids of the credits that have one.

    An activity of the survivor may use a slot meanwhile; then the rest is fitted anew. Raises Overtaken.
    """
    conn = posting.conn
    leader_of = partial(_leader_of, await _terms(services, key[0], credits))
    country = (await services.members.get(services.db, key[0], into)).country
    copied: set[UUID] = set()
    used_days: set[str] = set()
    for _ in range(ATTEMPTS):
        survivor = await ledger.read_survivor(conn, key, into)
        survivor.keys.difference_update(used_days)
        fitted = fit([credit for credit in credits if credit.id not in copied], survivor, leader_of)
        added = await ledger.copy_credits(conn, key, into, fitted.moves, now=now)
        days = [
            day for day in fitted.days if day.place.source_key not in used_days and _may_pay_again(day, now)
        ]
        days_added = await use_days(services, conn, key, into, days, country=country, now=now)
        copied |= added
        used_days |= days_added
        if len(added) == len(fitted.moves) and len(days_added) == len(days):
            if not await move_freezes(services, conn, key, into, credits, country=country, now=now):
                raise Overtaken
            return fitted, copied
    raise Overtaken


async def _terms(
    services: Services, program_id: str, credits: Sequence[ClosingCredit]
) -> dict[str, EarningTerms]:
    """Return the terms that decided credits, by their names."""
    found = {version.version: version.earning for version in services.programs.versions(program_id)}
    names = {credit.program_version for credit in credits} - found.keys()
    return found | {name: await terms_named(services, program_id, name) for name in sorted(names)}


def _leader_of(terms: Mapping[str, EarningTerms], credit: ClosingCredit) -> Rule | None:
    """Return the rule whose slot a credit uses. Credits of orders, operators and imports use none, nor do
    transfers, but for pending ones of a day of a streak.
    """
    rule_id = credit.decided_by if credit.is_pending_day else credit.rule_id
    rules = terms[credit.program_version].rules
    rule = rules.by_id.get(rule_id)
    return None if rule is None or rule.on.activity == "order" else rules.leader(rule.id)


def _may_pay_again(day: DayUse, now: datetime) -> bool:
    """Tell whether a day of a streak has to be known as used: it is not over everywhere, another account may
    bring the same day pending, or it is counted in a window.
    """
    credit = day.credit
    has_place = credit.of_day is not None or credit.of_month is not None
    return day.is_pending or has_place or credit.activity_at >= now - DAYS_OPEN


def _live_credits(account: Account, credits: Collection[ClosingCredit], accounts: Accounts) -> set[UUID]:
    """Return the credits that move with their points: pending, with points left, spent in a way that can be
    reinstated, or open to clawback; and those of status. Of all others only the slot moves.
    """
    spent = {take.credit_id for takes in accounts.takes.values() for take in takes}
    return {
        credit.id
        for credit in credits
        if credit.state == "pending"
        or (credit.unit == STATUS and credit.state == "active")
        or (
            (lot := account.lots.get(credit.id)) is not None
            and (lot.remaining or credit.id in spent or credit.reference is not None)
        )
    }


def _transfers(
    credits: Collection[ClosingCredit], live: set[UUID], copied: set[UUID]
) -> list[tuple[UUID, str | None]]:
    """Return (id, reference) of live credits whose source key the survivor has used: they move as transfers.
    The first credit of each reference keeps it.
    """
    references: set[str] = set()
    transfers = []
    for credit in credits:
        if credit.id in live - copied:
            reference = None if credit.reference in references else credit.reference
            if reference is not None:
                references.add(reference)
            transfers.append((credit.id, reference))
    return transfers


def _move_points(
    accounts: Accounts, key: MemberKey, survivor: MemberKey, live: set[UUID], pending: int, *, now: datetime
) -> None:
    """Move the points and the debt from one account to the other, `pending` ones as far as they go on."""
    old, new = accounts.by_key[key], accounts.by_key[survivor]
    lots = [replace(lot) for lot in sorted(old.lots.values(), key=spending_order) if lot.credit_id in live]
    taken: dict[UUID, list[tuple[UUID, Take]]] = {}
    for hold_id, takes in accounts.takes.items():
        for take in takes:
            taken.setdefault(take.credit_id, []).append((hold_id, take))
    debt = old.debt
    to, from_ = merge_reference(survivor[1]), merge_reference(key[1])
    if old.active:
        old.deduct(old.active, now, kind="transfer", into="transferred", reference=to)
    old.add_debt(-debt, now, kind="transfer", into="transferred", reference=to)
    new.add_pending(pending)
    old.drop_pending(old.pending)
    for lot in lots:
        spent: list[tuple[UUID | None, int]] = [
            (hold_id, take.points) for hold_id, take in taken.get(lot.credit_id, [])
        ]
        rest = lot.points - lot.remaining - sum(points for _, points in spent)
        new.transfer_in(lot, [*spent, *([(None, rest)] if rest else [])], now, reference=from_)
    new.add_debt(debt, now, kind="transfer", into="transferred", reference=from_)
