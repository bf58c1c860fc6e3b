"""A referral: its states, and how facts move them.

`advance` is a fold: given again what it was given before, it changes nothing. Points are paid on approval
alone, each side's once, and are taken back when what they were paid for is gone.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.keys import MemberKey
from engage.domain.referrals.definition import SIDES, ReferralReward, ReferralTerms, Side
from engage.domain.refusals import Code, Refusal

State = Literal["pending", "flagged", "approved", "rejected"]

# What two members have in common, as keyed hashes of it are the same.
Trait = Literal["person", "phone", "card", "device", "address"]

Flag = Literal["person", "phone", "card", "device", "address", "merged"]

# Why a referral ended that no operator has decided about.
Reason = Literal["order_returned", "friend_erased", "advocate_erased", "one_member"]

OPEN: Final[frozenset[State]] = frozenset({"pending", "flagged"})


class Progress(Struct, frozen=True):
    """The way of one side's points: the condition is met, by an order or not; they are paid, or lost.

    `paid_at` stays when they are taken back.
    """

    met_at: datetime | None = None
    order_id: str | None = None
    paid_at: datetime | None = None
    lost_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.paid_at is None and self.lost_at is None


class Referral(Struct, frozen=True, kw_only=True):
    """A friend (`member_id`) who has used the code of an advocate.

    The terms are those of `program_version` for ever. `decided_by` is the operator, None where time has
    decided. `due_at`: when something is to be paid next.
    """

    program_id: str
    id: UUID
    member_id: str
    advocate_id: str
    program_version: str
    state: State
    claimed_at: datetime
    flags: Sequence[Flag] = ()
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None
    due_at: datetime | None = None
    advocate: Progress = Progress()
    friend: Progress = Progress()

    @property
    def friend_key(self) -> MemberKey:
        return self.program_id, self.member_id

    @property
    def advocate_key(self) -> MemberKey:
        return self.program_id, self.advocate_id

    def key_of(self, side: Side) -> MemberKey:
        return self.advocate_key if side == "advocate" else self.friend_key

    def progress(self, side: Side) -> Progress:
        return self.advocate if side == "advocate" else self.friend

    def with_progress(self, side: Side, progress: Progress) -> "Referral":
        return replace(self, advocate=progress) if side == "advocate" else replace(self, friend=progress)


class FriendOrder(Struct, frozen=True):
    """A delivered order of the friend, and what they have kept of it in minor units of its currency."""

    order_id: str
    delivered_at: datetime
    kept_minor: int


class Facts(Struct, frozen=True, kw_only=True):
    """The facts about a referral's members now. `orders` are those of which something was kept, and `shared`
    what an operator should look at.
    """

    orders: Sequence[FriendOrder] = ()
    shared: Sequence[Flag] = ()
    friend_erased: bool = False
    advocate_erased: bool = False

    def ended(self, referral: Referral) -> Reason | None:
        """The reason why there is no friend any more who was referred."""
        if self.friend_erased:
            return "friend_erased"
        return "one_member" if referral.member_id == referral.advocate_id else None


def advance(referral: Referral, terms: ReferralTerms, facts: Facts, at: datetime) -> Referral:
    """Bring a referral to what is known at an instant, and pay what is due by then."""
    return _pay(observe(referral, terms, facts, at), terms, at)


def observe(referral: Referral, terms: ReferralTerms, facts: Facts, at: datetime) -> Referral:
    """Bring a referral to what is known at an instant, short of approving it and paying."""
    if referral.state == "rejected":
        return referral
    ended = facts.ended(referral)
    if ended is not None:
        return _end(referral, ended, at)
    if facts.advocate_erased and terms.friend is None and referral.state in OPEN:
        return _end(referral, "advocate_erased", at)
    for side in SIDES:
        reward = terms.reward(side)
        if reward is not None:
            progress = _progress(referral, side, reward, facts, at)
            referral = referral.with_progress(side, progress)
    if referral.state in OPEN and _has_lost_an_order(referral, facts):
        return _end(referral, "order_returned", at)
    referral = _flag(referral, facts)
    return replace(referral, due_at=min(_due(referral, terms).values(), default=None))


def newly_paid(before: Referral, after: Referral) -> list[Side]:
    return [side for side in SIDES if after.progress(side).paid_at and not before.progress(side).paid_at]


def newly_taken_back(before: Referral, after: Referral) -> list[Side]:
    """The sides whose points were paid, and are lost now."""
    return [
        side
        for side in SIDES
        if after.progress(side).lost_at
        and not before.progress(side).lost_at
        and before.progress(side).paid_at
    ]


def approve(referral: Referral, *, operator: str, reason: str | None, at: datetime) -> Referral:
    """Approve a referral by hand: what is met is paid without a hold. Repeating it changes nothing.

    Raises Refusal referral_closed where it was rejected.
    """
    return _decide(referral, "approved", operator, reason, at)


def reject(referral: Referral, *, operator: str, reason: str | None, at: datetime) -> Referral:
    """Reject a referral by hand: nothing is paid. Repeating it changes nothing.

    Raises Refusal referral_closed where it was approved.
    """
    return replace(_decide(referral, "rejected", operator, reason, at), due_at=None)


def _decide(referral: Referral, state: State, operator: str, reason: str | None, at: datetime) -> Referral:
    if referral.state == state:
        return referral
    if referral.state not in OPEN:
        raise Refusal(Code.REFERRAL_CLOSED, state=referral.state)
    return replace(referral, state=state, decided_at=at, decided_by=operator, reason=reason)


def _end(referral: Referral, reason: Reason, at: datetime) -> Referral:
    """Reject an open referral. Of an approved one everything is lost."""
    for side in SIDES:
        progress = referral.progress(side)
        referral = referral.with_progress(side, replace(progress, lost_at=progress.lost_at or at))
    referral = replace(referral, due_at=None)
    if referral.state not in OPEN:
        return referral
    return replace(referral, state="rejected", decided_at=at, reason=reason)


def _progress(referral: Referral, side: Side, reward: ReferralReward, facts: Facts, at: datetime) -> Progress:
    progress = referral.progress(side)
    if progress.lost_at is not None:
        return progress
    if facts.advocate_erased and side == "advocate":
        return replace(progress, lost_at=at)
    if progress.met_at is None:
        return _met(referral, reward, facts)
    if progress.order_id is None or any(
        order.order_id == progress.order_id for order in _enough(reward, facts)
    ):
        return progress
    return replace(progress, lost_at=at)


def _met(referral: Referral, reward: ReferralReward, facts: Facts) -> Progress:
    """The condition, and since when it is met: not before the code was used."""
    if reward.on == "registration":
        return Progress(met_at=referral.claimed_at)
    found = min(_enough(reward, facts), key=lambda order: (order.delivered_at, order.order_id), default=None)
    if found is None:
        return Progress()
    return Progress(met_at=max(found.delivered_at, referral.claimed_at), order_id=found.order_id)


def _enough(reward: ReferralReward, facts: Facts) -> list[FriendOrder]:
    return [order for order in facts.orders if order.kept_minor >= (reward.min_spend_minor or 0)]


def _has_lost_an_order(referral: Referral, facts: Facts) -> bool:
    """Tell whether an order that met a condition came back. The advocate may have lost it otherwise."""
    sides = [referral.friend] if facts.advocate_erased else [referral.friend, referral.advocate]
    return any(progress.order_id is not None and progress.lost_at is not None for progress in sides)


def _flag(referral: Referral, facts: Facts) -> Referral:
    """Leave it to an operator if both have something in common. What was decided stays decided."""
    if referral.state not in OPEN:
        return referral
    flags = [*referral.flags, *(flag for flag in facts.shared if flag not in referral.flags)]
    return replace(referral, flags=flags, state="flagged" if flags else referral.state)


def _pay(referral: Referral, terms: ReferralTerms, at: datetime) -> Referral:
    due = [side for side, due_at in _due(referral, terms).items() if due_at <= at]
    if due and referral.state == "pending":
        referral = replace(referral, state="approved", decided_at=at)
    for side in due:
        referral = referral.with_progress(side, replace(referral.progress(side), paid_at=at))
    return replace(referral, due_at=min(_due(referral, terms).values(), default=None))


def _due(referral: Referral, terms: ReferralTerms) -> dict[Side, datetime]:
    """The end of the hold of each side that is to be paid. An operator who has approved the referral has
    waited long enough.
    """
    if referral.state not in ("pending", "approved"):
        return {}
    hold = terms.hold if referral.decided_by is None else timedelta()
    return {
        side: progress.met_at + hold
        for side in SIDES
        if (progress := referral.progress(side)).is_open and progress.met_at is not None
    }
