"""The referrals of a simulated member: as the advocate of friends, and as a friend."""

from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from engage.domain.earning.credit import NewCredit
from engage.domain.earning.order_spend import kept_minor
from engage.domain.keys import referral_key
from engage.domain.referrals.claim import ClaimFacts, check_claim, counts_since
from engage.domain.referrals.credits import decide_reward
from engage.domain.referrals.definition import ReferralTerms, Side
from engage.domain.referrals.referral import (
    Facts,
    FriendOrder,
    Referral,
    advance,
    newly_paid,
    newly_taken_back,
    observe,
)
from engage.domain.refusals import Code, Refusal
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember

MEMBER: Final = "member"


class _Followed(Struct):
    """A referral that pays the member on one side, and the orders of a friend."""

    referral: Referral
    side: Side
    orders: list[FriendOrder] = []


class SimulatedReferrals(SimulatedFeature):
    """Friends have new accounts, and nothing in common with the member. The age of the member's own account
    is not simulated.
    """

    def __init__(self, member: SimulatedMember, terms: ReferralTerms | None) -> None:
        self._member = member
        self._terms = terms
        self._followed: dict[str, _Followed] = {}

    def invite(self, friend: str, at: datetime) -> None:
        """Let a friend join by the member's code. Raises Refusal not_offered, already_referred or
        limit_reached.
        """
        self._claim(friend, "advocate", is_referred=friend in self._followed, has_delivery=False, at=at)

    def use_code(self, at: datetime) -> None:
        """Let the member use the code of a friend. Raises Refusal not_offered, already_referred or
        too_late.
        """
        delivered = any(facts.delivered_at is not None for facts in self._member.orders.values())
        is_referred = MEMBER in self._followed
        self._claim(MEMBER, "friend", is_referred=is_referred, has_delivery=delivered, at=at)

    def order(self, friend: str, paid_minor: int, at: datetime) -> None:
        """Deliver an order to a friend. Raises Refusal unknown_member for one who has not joined."""
        followed = self._friend(friend)
        order_id = f"{friend} {len(followed.orders)}"
        followed.orders = [*followed.orders, FriendOrder(order_id, at, paid_minor)]

    def give_back(self, friend: str) -> None:
        """Return the orders of a friend. Raises Refusal unknown_member for one who has not joined."""
        self._friend(friend).orders = []

    def advance(self, at: datetime) -> None:
        for followed in self._followed.values():
            while (due_at := followed.referral.due_at) is not None and due_at <= at:
                self._settle(followed, due_at)

    def react(self, at: datetime) -> list[NewCredit]:
        """Points are paid when their time comes, so no step earns them."""
        for followed in self._followed.values():
            self._settle(followed, at)
        return []

    def _friend(self, friend: str) -> _Followed:
        if friend == MEMBER or friend not in self._followed:
            raise Refusal(Code.UNKNOWN_MEMBER)
        return self._followed[friend]

    def _claim(self, friend: str, side: Side, *, is_referred: bool, has_delivery: bool, at: datetime) -> None:
        if self._terms is None or not self._terms.is_open(at, self._member.market.zone):
            raise Refusal(Code.NOT_OFFERED)
        zone, version = self._member.market.zone, self._member.terms.version
        since = counts_since(self._terms, at=at, zone=zone)
        mine = [each.referral for each in self._followed.values() if each.side == side == "advocate"]
        used = [
            referral
            for referral in mine
            if referral.state != "rejected" and (since is None or referral.claimed_at >= since)
        ]
        facts = ClaimFacts(
            is_referred=is_referred,
            is_one_member=False,
            in_circle=False,
            is_survivor=False,
            has_delivery=has_delivery,
            joined_at=at,
            used=len(used),
            shared=(),
        )
        check_claim(self._terms, facts, version=version, at=at, zone=zone)
        referral = Referral(
            program_id=self._member.terms.program,
            id=UUID(int=len(self._followed) + 1),
            member_id=friend if side == "advocate" else MEMBER,
            advocate_id=MEMBER if side == "advocate" else "a friend",
            program_version=version,
            state="pending",
            claimed_at=at,
        )
        self._followed[friend] = _Followed(observe(referral, self._terms, Facts(), at), side)

    def _settle(self, followed: _Followed, at: datetime) -> None:
        assert self._terms is not None
        orders = followed.orders if followed.side == "advocate" else self._own_orders()
        before, after = (
            followed.referral,
            advance(followed.referral, self._terms, Facts(orders=orders), at),
        )
        followed.referral = after
        if followed.side in newly_paid(before, after):
            zone = self._member.market.zone
            self._member.account.add(
                decide_reward(self._member.terms, self._terms, after, followed.side, at=at, zone=zone)
            )
        if followed.side in newly_taken_back(before, after):
            credit = self._member.account.credits[referral_key(followed.side, after.id)]
            self._member.account.take_back(credit, credit.new.points, at)

    def _own_orders(self) -> list[FriendOrder]:
        return [
            FriendOrder(order_id, facts.delivered_at, kept_minor(facts))
            for order_id, facts in self._member.orders.items()
            if facts.paid is not None and facts.delivered_at is not None and not facts.is_back
        ]
