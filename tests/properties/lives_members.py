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
    members: list[Member] = field(default_factory=list)
    paid: list[Credit] = field(default_factory=list)  # All that campaigns ever granted.

    def approve(self, document: Document, since: datetime) -> None:
        self.campaigns.setdefault(document["id"], Campaign()).actions.append((since, "approved", document))

    def left(self, id_: str) -> dict[str, int]:
        """The rest of the budget of the newest version."""
        kept = [credit.kept for credit in self.paid if credit.campaign == id_ and credit.kept]
        used, budget = {"points": sum(kept), "count": len(kept)}, self.campaigns[id_].newest["budget"] or {}
        return {name: max(0, limit - used[name]) for name, limit in budget.items() if name in used}

    def perform(self, member: Member, activity: str, named: str, at: datetime) -> list[Earned]:
        """Record an activity that is no order: the program's rule pays, and the rules of campaigns do, each
        once for what is `named`.
        """
        bases = [(activity, Credit(activity, POINTS[activity]))]
        for document, rule in self._rules(member, activity, at):
            bases.append((rule["id"], Credit(rule["id"], rule["award"]["points"], document["id"])))
        slots = [(rule if rule.startswith("talk") else f"{rule}:{named}", base) for rule, base in bases]
        free = [(slot, base) for slot, base in slots if not member.has_used(slot)]
        return self._earn(member, free, at, at + DUE)

    def pay(self, member: Member, id_: str, lines: list[Line], channel: str, at: datetime) -> None:
        total = sum(line.paid for line in lines)
        bases = [Credit("purchase", total // PER_POINT, lines=lines)]
        for document, rule in self._rules(member, "order", at):
            step = rule["award"]["step_minor"]
            bases.append(Credit(rule["id"], total // step, document["id"], lines=lines, step=step))
        earned = self._earn(member, [("", base) for base in bases if base.granted], at, None, channel)
        member.orders[id_] = Order(at, lines, earned, [(at, total)])

    def _rules(self, member: Member, activity: str, at: datetime) -> list[tuple[Document, Document]]:
        """The rules of campaigns about an activity, each with its document."""
        return [
            (document, rule)
            for document in self._for(member, at)
            for rule in document["rules"]
            if rule["on"]["activity"] == activity
        ]

    def _for(self, member: Member, at: datetime) -> list[Document]:
        facts = member.facts(at)
        in_force = (campaign.in_force(at, member.zone) for _, campaign in sorted(self.campaigns.items()))
        return [each for each in in_force if each is not None and is_for(each, facts, at)]

    def _earn(
        self,
        member: Member,
        bases: list[tuple[str, Credit]],
        at: datetime,
        due: datetime | None,
        channel: str | None = None,
    ) -> list[Earned]:
        """Rules are paid whole, before any boosts; a boost is cut to what is left."""
        documents = self._for(member, at)
        earned = []
        for slot, base in bases:
            if base.campaign is None or self._allowed(member, base) >= base.granted:
                self.paid += [] if base.campaign is None else [base]
                earned.append(Earned(at, slot, due, [base]))
                member.earned.append(earned[-1])
        for each in earned:
            for _, credit in beside(each.credits[0], documents, local(at, member.zone), channel):
                credit.granted = min(credit.granted, self._allowed(member, credit))
                if credit.granted:
                    self.paid.append(credit)
                    each.credits.append(credit)
        return earned

    def _allowed(self, member: Member, credit: Credit) -> int:
        """The points that the budget of a credit's campaign has for it, by its newest version."""
        id_ = str(credit.campaign)
        left = self.left(id_)
        allowed = [credit.granted, left.get("points", credit.granted)]
        budget = self.campaigns[id_].newest["budget"] or {}
        if "points_per_member" in budget:
            own = [
                each.kept
                for earned in member.earned
                if not earned.transferred
                for each in earned.credits
                if each.campaign == id_
            ]
            allowed.append(budget["points_per_member"] - sum(own))
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
