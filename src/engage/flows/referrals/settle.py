"""Consequences for referrals: approval after the hold, points for both, and what is taken back.

One referral is one transaction: the state and the points that follow from it are committed together, so that
they agree whatever dies. Several workers may see the same referral: the second finds it done.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.order_facts import SKEW
from engage.domain.earning.order_spend import kept_minor
from engage.domain.keys import MemberKey, referral_reference
from engage.domain.program.program import Program
from engage.domain.referrals.credits import decide_reward
from engage.domain.referrals.definition import ReferralTerms, Side
from engage.domain.referrals.referral import (
    OPEN,
    Facts,
    Flag,
    FriendOrder,
    Referral,
    advance,
    newly_paid,
    newly_taken_back,
)
from engage.domain.refusals import AccountFull, Code, Refusal, Unavailable
from engage.flows.referrals.terms import terms_of, zone_in
from engage.ledger.accept import CreditToAccept
from engage.ledger.clawback import Removal, claw_back
from engage.runtime.database import transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.ids import new_id
from engage.runtime.posting import Posting, open_posting
from engage.runtime.reactions import Reaction
from engage.runtime.services import Services
from engage.store import audit_log
from engage.store.audit_log import AuditEntry
from engage.store.referrals.referrals import (
    ReferredMember,
    lock_members,
    lock_referral,
    read_due,
    read_referral,
    read_touched,
    write_referral,
)
from engage.store.referrals.traits import shared_traits
from engage.store.shop.orders import read_delivered_orders

log = structlog.get_logger()

PER_BATCH: Final = 100
ATTEMPTS: Final = 5

# Of a friend who has had so many orders without one that is enough, later ones are not looked at.
ORDERS_READ: Final = 1_000

Decide = Callable[[Referral], Referral]


class Decision(Struct, frozen=True):
    """A decision of an operator, and the name of their key."""

    decide: Decide
    operator: str


class _Both(Struct, frozen=True):
    """A referral under lock with its members, and the version that decides."""

    referral: Referral
    members: dict[str, ReferredMember]
    program: Program
    terms: ReferralTerms

    def is_erased(self, side: Side) -> bool:
        return self.members[self.referral.key_of(side)[1]].erased


async def settle_due_referrals(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Approve and pay the referrals whose hold is over by `now`; how many. `on_time`: each at its own time.

    Raises Unavailable.
    """
    done: list[UUID] = []
    while True:
        async with transaction(services.db) as conn:
            due = await read_due(
                conn,
                now=now,
                ahead=services.clock.ahead,
                on_time=on_time,
                without=done,
                limit=PER_BATCH,
            )
        for id_, due_at in due:
            try:
                await settle_referral(services, id_, now=due_at if on_time else now)
            except AccountFull:
                log.warning("no more points fit into an account", referral=str(id_))
            done.append(id_)
        if len(due) < PER_BATCH:
            return len(done)


async def react_to_members(services: Services, members: Sequence[MemberKey], *, now: datetime) -> None:
    """Bring the referrals of members whose facts have changed to what follows. Raises Unavailable."""
    async with transaction(services.db) as conn:
        touched = await read_touched(conn, members)
    for id_ in touched:
        await settle_referral(services, id_, now=now)


REFERRALS: Final = Reaction("referrals", react_to_members)


async def settle_referral(
    services: Services,
    id_: UUID,
    *,
    now: datetime,
    decision: Decision | None = None,
    keyed: Keyed[Referral] | None = None,
) -> Referral:
    """Bring a referral to what follows from all that is known, after an operator has decided, if one has.

    Raises Refusal not_found, request_in_flight, and those of the decision; Unavailable.
    """
    for _ in range(ATTEMPTS):
        async with open_posting(services, cause="referral") as posting:
            await claim(posting.conn, keyed)
            both = await _lock(services, posting.conn, id_)
            if both is not None:
                settled = await _settle(services, posting, both, now=now, decision=decision)
                await keep(posting.conn, keyed, settled)
                return settled
    raise Unavailable("member")


async def _lock(services: Services, conn: AsyncConnection, id_: UUID) -> _Both | None:
    """Lock a referral and its members; None where a merger has changed them meanwhile. Raises Refusal
    not_found.
    """
    read = await read_referral(conn, id_)
    if read is None:
        raise Refusal(Code.NOT_FOUND)
    members = await lock_members(conn, read.program_id, [read.member_id, read.advocate_id])
    referral = await lock_referral(conn, id_)
    if (referral.member_id, referral.advocate_id) != (read.member_id, read.advocate_id):
        return None
    return _Both(referral, members, *await terms_of(services, referral))


async def _settle(
    services: Services, posting: Posting, both: _Both, *, now: datetime, decision: Decision | None
) -> Referral:
    before = both.referral
    facts = await _read_facts(services, posting.conn, both)
    decided = before if decision is None else decision.decide(before)
    after = advance(decided, both.terms, facts, now)
    if after != before:
        lost = [side for side in newly_taken_back(before, after) if not both.is_erased(side)]
        paid = [side for side in newly_paid(before, after) if not both.is_erased(side)]
        if lost:
            await _take_back(posting, both, lost, now=now)
        if paid:
            await _pay(posting, both, paid, now=now)
        await write_referral(posting.conn, after)
    if decision is not None and decided != before:
        await _log(posting.conn, before, decided, operator=decision.operator, now=now)
    return after


async def _log(
    conn: AsyncConnection, before: Referral, decided: Referral, *, operator: str, now: datetime
) -> None:
    """The reason stays with the referral, which an erasure can reach."""
    entry = AuditEntry(
        at=now,
        program_id=before.program_id,
        operator=operator,
        subject=f"referral:{before.id}",
        action=decided.state,
        before={"state": before.state},
        after={"state": decided.state},
    )
    await audit_log.write(conn, entry)


async def _read_facts(services: Services, conn: AsyncConnection, both: _Both) -> Facts:
    referral, friend = both.referral, both.members[both.referral.member_id]
    orders: list[FriendOrder] = []
    if both.terms.pays_for_orders:
        orders = await _read_orders(conn, referral.friend_key, friend.joined_at)
    return Facts(
        orders=orders,
        shared=await _read_flags(services, conn, both) if referral.state in OPEN else (),
        friend_erased=friend.erased,
        advocate_erased=both.members[referral.advocate_id].erased,
    )


async def _read_flags(services: Services, conn: AsyncConnection, both: _Both) -> list[Flag]:
    referral = both.referral
    if referral.member_id == referral.advocate_id:
        return []
    peppers, members = services.settings.peppers, [referral.member_id, referral.advocate_id]
    flags: list[Flag] = [*sorted(await shared_traits(conn, referral.program_id, members, peppers=peppers))]
    return [*flags, "merged"] if both.members[referral.member_id].is_survivor else flags


async def _read_orders(conn: AsyncConnection, key: MemberKey, joined_at: datetime) -> list[FriendOrder]:
    """The orders that were paid as a member, and not given back."""
    found = await read_delivered_orders(conn, key, limit=ORDERS_READ)
    return [
        FriendOrder(order_key[2], facts.delivered_at, kept_minor(facts))
        for order_key, facts in found.items()
        if facts.paid is not None
        and facts.delivered_at is not None
        and facts.paid.at >= joined_at - SKEW
        and not facts.is_back
    ]


async def _take_back(posting: Posting, both: _Both, sides: Sequence[Side], *, now: datetime) -> None:
    referral = both.referral
    removals = [
        Removal(*key, referral_reference(referral.id), (), both.program.version, now)
        for key in sorted({referral.key_of(side) for side in sides})
    ]
    await posting.post(await claw_back(posting.conn, removals, now=now))
    posting.note_changes(referral.key_of(side) for side in sides)


async def _pay(posting: Posting, both: _Both, sides: Sequence[Side], *, now: datetime) -> None:
    referral, rows = both.referral, []
    for side in sides:
        key = referral.key_of(side)
        zone = zone_in(both.program, both.members[key[1]].country)
        credit = decide_reward(both.program.earning, both.terms, referral, side, at=now, zone=zone)
        rows.append(CreditToAccept(*key, new_id(), credit))
    await posting.accept(rows, now=now)
