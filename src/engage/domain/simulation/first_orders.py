"""A simulated member's first delivered orders: what they are paid, and lose with their places."""

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engage.domain.earning.credit import NewCredit
from engage.domain.earning.first_orders import Place, in_order, in_place, numbered, places
from engage.domain.earning.order_facts import OrderFacts
from engage.domain.earning.orders import Standing

if TYPE_CHECKING:
    from engage.domain.simulation.member import SimulatedMember


class SimulatedFirstOrders:
    """The losses of places by each order of a member, by rule, besides what is known of all orders."""

    def __init__(self, member: "SimulatedMember") -> None:
        self._member = member
        self._displaced: Counter[tuple[str, str]] = Counter()  # By (order, rule).

    def settle(self, at: datetime) -> list[NewCredit]:
        """Pay the first delivered orders, and take back what was paid for others; the new credits."""
        return [credit for place in self._places(self._member.orders) for credit in self._pay(place, at)]

    def promised(self, order_id: str, at: datetime) -> list[NewCredit]:
        """The credits of a paid order that it gets when it is delivered, as one of the first, if it is
        delivered next.
        """
        orders = self._member.orders
        delivered = self._places({**orders, order_id: orders[order_id].deliver(at)})
        rules = {
            place.rule_id for place in delivered if place.order_id == order_id and place.due_at is not None
        }
        found = self._member.standings(order_id)
        return [each.credit for each in found if each.credit.rule_id in rules]

    def numbered(self, item: Standing, order_id: str) -> Standing:
        """A credit under the key that it has now: a new one since the order lost its place."""
        return numbered(item, order_id, self._number(order_id, item.credit.rule_id))

    def _number(self, order_id: str, rule_id: str) -> int:
        return self._displaced[order_id, rule_id] + 1

    def _places(self, orders: dict[str, OrderFacts]) -> list[Place]:
        delivered = [(key, facts, self._member.terms_of_order(key)) for key, facts in in_order(orders)]
        found = places(delivered, joined_at=self._member.joined_at)
        return [replace(place, number=self._number(place.order_id, place.rule_id)) for place in found]

    def _pay(self, place: Place, at: datetime) -> list[NewCredit]:
        account, terms = self._member.account, self._member.terms_of_order(place.order_id)
        new = []
        for standing in self._member.standings(place.order_id):
            if standing.credit.rule_id != place.rule_id:
                continue
            item = in_place(terms, standing, place)
            credit = account.credits.get(standing.credit.source_key)
            if credit is None and place.due_at is not None:
                earned = replace(item.credit, due_at=item.due_at, expires_at=item.expires_at)
                credit = account.add(earned, boosts=())
                new.append(earned)
            if credit is None:
                continue
            if not credit.active and place.due_at is not None:
                credit.due_at, credit.expires_at = item.due_at, item.expires_at
            if place.due_at is None and credit.kept and credit.new.beside is None:
                self._displaced[place.order_id, place.rule_id] += 1
            account.take_back(credit, item.taken_back, at)
        return new
