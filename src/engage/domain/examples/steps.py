"""Actions besides activities that need no feature."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from engage.domain.activity import Identifier
from engage.domain.earning.order_facts import Return, ReturnedLine
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import Outcome
from engage.domain.keys import review_reference, share_reference
from engage.domain.simulation.member import SimulatedMember


class Join(Action, frozen=True, kw_only=True, tag="join"):
    """A customer joins, and earns what joining pays. Without a birth date the shop has checked the age."""

    results: ClassVar = frozenset({"earns"})
    must_earn: ClassVar = True

    kind: Literal["person", "company"] = "person"
    birth_date: date | None = None

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        return Outcome(credits=member.join(kind=self.kind, birth_date=self.birth_date, at=at))


class Wait(Action, frozen=True, tag="wait"):
    """Time passes."""

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        return Outcome()


class OrderDelivered(Action, frozen=True, tag="order_delivered"):
    order_id: Identifier

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.deliver(self.order_id, at)
        return Outcome()


class OrderCancelled(Action, frozen=True, tag="order_cancelled"):
    order_id: Identifier

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.cancel(self.order_id, at)
        return Outcome()


class OrderReturnedStep(Action, frozen=True, tag="order_returned"):
    """`lines` are the returned quantities by line id; without them, everything is returned."""

    order_id: Identifier
    lines: dict[Identifier, Annotated[int, Meta(ge=1, le=100_000)]] | None = None

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        lines = None if self.lines is None else [ReturnedLine(*line) for line in self.lines.items()]
        member.give_back(self.order_id, Return(f"{self.order_id} {at.isoformat()}", lines, at), at)
        return Outcome()


class ReviewPublished(Action, frozen=True, tag="review_published"):
    review_id: Identifier

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.confirm(review_reference(self.review_id), at)
        return Outcome()


class ShareConfirmed(Action, frozen=True, tag="share_confirmed"):
    share_id: Identifier

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.confirm(share_reference(self.share_id), at)
        return Outcome()


class ReviewRemoved(Action, frozen=True, tag="review_removed"):
    review_id: Identifier

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.remove(review_reference(self.review_id), at)
        return Outcome()


class ShareRemoved(Action, frozen=True, tag="share_removed"):
    share_id: Identifier

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.remove(share_reference(self.share_id), at)
        return Outcome()
