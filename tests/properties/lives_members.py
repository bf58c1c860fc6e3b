"""Members who earn while campaigns go on, in plain Python: bases, what is beside them, budgets, levels.

It imports nothing of engage. Credits of orders are due with the delivery, all others in five minutes.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.properties.lives_model import (
    PER_POINT,
    SILVER,
    ZONES,
    Campaign,
    Credit,
    Document,
    Facts,
    Line,
    beside,
    is_for,
    local,
)

POINTS = {"registration": 50, "fuel": 3, "share": 10, "review": 20}
DUE = timedelta(minutes=5)


@dataclass(eq=False)
class Earned:
    """A base credit and all that is beside it, which are due and taken back together.

    `slot` is what a member uses once; orders have none.
    """

    at: datetime
    slot: str
    due: datetime | None
    credits: list[Credit]
    active: bool = False
    transferred: bool = False  # A merger found its slot used: the points are there, and nothing more.


@dataclass(eq=False)
class Order:
    paid_at: datetime
    lines: list[Line]
    earned: list[Earned]
    spent: list[tuple[datetime, int]]  # Movements of what counts for levels.

    @property
    def worth(self) -> int:
        return sum(line.paid * (line.quantity - line.back) // line.quantity for line in self.lines)


@dataclass(eq=False)
class Member:
    id: str
    country: str
    joined: datetime
    earned: list[Earned] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    stays: list[tuple[datetime, datetime | None]] = field(default_factory=list)  # In the segment.

    @property
    def zone(self) -> str:
        return ZONES[self.country]

    def facts(self, at: datetime) -> Facts:
        payments = [order.paid_at for order in self.orders.values() if order.paid_at < at]
        return Facts(
            self.id,
            self.country,
            self.joined,
            silver=self._is_silver(at),
            listed=any(since <= at and (until is None or at < until) for since, until in self.stays),
            last_payment=max(payments, default=None),
        )

    def _is_silver(self, at: datetime) -> bool:
        """A level stays, whatever comes back later."""
        spent = 0
        movements = [each for order in self.orders.values() for each in order.spent if each[0] < at]
        for _, amount in sorted(movements, key=lambda each: each[0]):
            spent += amount
            if spent >= SILVER:
                return True
        return False

    def has_used(self, slot: str) -> bool:
        return any(earned.slot == slot for earned in self.earned)

    def balance(self) -> tuple[int, int]:
        """(active, pending)"""
        active = sum(credit.kept for earned in self.earned if earned.active for credit in earned.credits)
        everything = sum(credit.kept for earned in self.earned for credit in earned.credits)
        return active, everything - active

    def settle(self, now: datetime) -> None:
        for earned in self.earned:
            earned.active = earned.active or (earned.due is not None and earned.due <= now)


@dataclass
class Model:
    campaigns: dict[str, Campaign] = field(default_factory=dict)
    totals: dict[str, Document] = field(default_factory=dict)  # Of budgets.
    members: list[Member] = field(default_factory=list)
    paid: list[Credit] = field(default_factory=list)  # All that campaigns ever granted.

    def approve(self, document: Document, since: datetime) -> None:
        """A new version has a new budget; what is used already stays used."""
        id_ = document["id"]
        self.campaigns.setdefault(id_, Campaign()).actions.append((since, "approved", document))
        used = self.used(id_)
        self.totals[id_] = {
            name: max(limit, used.get(name, 0)) for name, limit in (document["budget"] or {}).items()
        }

    def used(self, id_: str) -> dict[str, int]:
        kept = [credit.kept for credit in self.paid if credit.campaign == id_ and credit.kept]
        return {"points": sum(kept), "count": len(kept)}

    def left(self, id_: str) -> dict[str, int]:
        used = self.used(id_)
        return {name: total - used[name] for name, total in self.totals[id_].items() if name in used}

    def perform(self, member: Member, activity: str, named: str, at: datetime) -> list[Earned]:
        """Record an activity that is no order: what the program's rule pays, and the rules of campaigns, each
        once for what is `named`.
        """
        documents = self._for(member, at)
        bases = [Credit(activity, POINTS[activity])]
        bases += [
            Credit(rule["id"], rule["award"]["points"], document["id"])
            for document in documents
            for rule in document["rules"]
            if rule["on"]["activity"] == activity
        ]
        earned = []
        for base in bases:
            slot = base.rule if base.rule.startswith("talk") else f"{base.rule}:{named}"
            if not member.has_used(slot):
                self.paid += [] if base.campaign is None else [base]
                earned.append(self._earned(member, base, documents, at, slot, at + DUE))
        return earned

    def pay(self, member: Member, id_: str, lines: list[Line], channel: str, at: datetime) -> None:
        documents = self._for(member, at)
        order = Order(at, lines, [], [(at, sum(line.paid for line in lines))])
        points = sum(line.paid for line in lines) // PER_POINT
        if points:
            base = Credit("purchase", points, lines=lines)
            order.earned.append(self._earned(member, base, documents, at, "", None, channel))
        member.orders[id_] = order

    def _for(self, member: Member, at: datetime) -> list[Document]:
        facts = member.facts(at)
        in_force = (campaign.in_force(at, member.zone) for _, campaign in sorted(self.campaigns.items()))
        return [each for each in in_force if each is not None and is_for(each, facts, at)]

    def _earned(
        self,
        member: Member,
        base: Credit,
        documents: list[Document],
        at: datetime,
        slot: str,
        due: datetime | None,
        channel: str | None = None,
    ) -> Earned:
        found = Earned(at, slot, due, [base])
        for document, credit in beside(base, documents, local(at, member.zone), channel):
            credit.granted = self._within_budget(member, document, credit)
            if credit.granted:
                self.paid.append(credit)
                found.credits.append(credit)
        member.earned.append(found)
        return found

    def _within_budget(self, member: Member, document: Document, credit: Credit) -> int:
        left = self.left(document["id"])
        allowed = [credit.granted, left.get("points", credit.granted)]
        if "points_per_member" in (document["budget"] or {}):
            own = [
                each.kept
                for earned in member.earned
                if not earned.transferred
                for each in earned.credits
                if each.campaign == document["id"]
            ]
            allowed.append(document["budget"]["points_per_member"] - sum(own))
        return 0 if left.get("count") == 0 else max(0, min(allowed))

    def give_back(self, order: Order, at: datetime) -> None:
        """Take back the share of the pieces that are back so far."""
        order.spent.append((at, order.worth - sum(amount for _, amount in order.spent)))
        for earned in order.earned:
            for credit in earned.credits:
                credit.give_back()

    def merge(self, gone: Member, into: Member) -> None:
        for earned in gone.earned:
            # Two streaks do not add up.
            earned.transferred |= earned.slot.startswith("fuel:") or (
                earned.slot != "" and into.has_used(earned.slot)
            )
        into.earned += gone.earned
        into.orders |= gone.orders
        into.stays += gone.stays
        self.members.remove(gone)
