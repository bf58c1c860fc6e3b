"""The referrals of a program as operators see them, and their decisions."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Literal
from uuid import UUID

from msgspec import Struct

from engage.domain.identity import Operator
from engage.domain.referrals.definition import Condition, ReferralTerms, Side
from engage.domain.referrals.referral import Flag, Referral, State, approve, reject
from engage.domain.refusals import Code, Refusal
from engage.flows.referrals.settle import Decision, settle_referral
from engage.flows.referrals.terms import terms_of
from engage.runtime.database import transaction
from engage.runtime.idempotency import Keyed
from engage.runtime.services import Services
from engage.store.referrals.referrals import list_referrals, read_referral


class SideView(Struct, frozen=True, kw_only=True):
    """One side's points and the way to them: the condition was met at a time, by an order or not; the points
    were granted, and lost.
    """

    points: int
    on: Condition
    met_at: datetime | None
    order_id: str | None
    paid_at: datetime | None
    lost_at: datetime | None


class ReferralView(Struct, frozen=True, kw_only=True):
    """A referral. `flags`: what friend and advocate have in common, or that the friend's account is a merged
    one. `due_at`: when something will be paid next. `decided_by` is the id of the operator or of their key,
    null where nobody has decided by hand.
    """

    id: UUID
    program: str
    program_version: str
    state: State
    advocate_id: str
    friend_id: str
    claimed_at: datetime
    flags: Sequence[Flag]
    due_at: datetime | None
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None
    advocate: SideView | None
    friend: SideView | None


async def read_queue(
    services: Services,
    program_ids: Sequence[str],
    *,
    state: State | None,
    before: UUID | None,
    limit: int,
) -> list[ReferralView]:
    """Read a page of referrals of these programs, newest first. Raises Unavailable."""
    async with transaction(services.db) as conn:
        found = await list_referrals(conn, program_ids, state=state, before=before, limit=limit)
    return [await view(services, referral) for referral in found]


async def read_one(services: Services, id_: UUID) -> ReferralView:
    """Raises Refusal not_found; Unavailable."""
    async with transaction(services.db) as conn:
        referral = await read_referral(conn, id_)
    if referral is None:
        raise Refusal(Code.NOT_FOUND)
    return await view(services, referral)


async def decide_referral(
    services: Services,
    id_: UUID,
    decision: Literal["approve", "reject"],
    *,
    operator: Operator,
    reason: str | None,
    keyed: Keyed[Referral] | None = None,
) -> Referral:
    """Approve or reject a referral that is pending or flagged. The same again changes nothing.

    Raises Refusal not_found; referral_closed where it was decided the other way, request_in_flight;
    Unavailable.
    """
    now = services.clock.now()
    decide = partial(
        approve if decision == "approve" else reject, operator=operator.id, reason=reason, at=now
    )
    return await settle_referral(
        services, id_, now=now, decision=Decision(decide, operator.name), keyed=keyed
    )


async def view(services: Services, referral: Referral) -> ReferralView:
    """Raises Unavailable."""
    _, terms = await terms_of(services, referral)
    return ReferralView(
        id=referral.id,
        program=referral.program_id,
        program_version=referral.program_version,
        state=referral.state,
        advocate_id=referral.advocate_id,
        friend_id=referral.member_id,
        claimed_at=referral.claimed_at,
        flags=referral.flags,
        due_at=referral.due_at,
        decided_at=referral.decided_at,
        decided_by=referral.decided_by,
        reason=referral.reason,
        advocate=_side(terms, referral, "advocate"),
        friend=_side(terms, referral, "friend"),
    )


def _side(terms: ReferralTerms, referral: Referral, side: Side) -> SideView | None:
    reward, progress = terms.reward(side), referral.progress(side)
    if reward is None:
        return None
    return SideView(
        points=reward.points,
        on=reward.on,
        met_at=progress.met_at,
        order_id=progress.order_id,
        paid_at=progress.paid_at,
        lost_at=progress.lost_at,
    )
