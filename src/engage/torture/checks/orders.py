"""An order earns by the fold of its accepted events, by a model that imports nothing of the rules."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any, Final

from engage.torture.checks.books import Credit
from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence

ORDER: Final = "an order earns by its accepted events, in any order"
PER_POINT: Final = 100
# Each event whose answer was lost doubles what can be right.
MOST_UNKNOWN: Final = 8

Event = dict[str, Any]


class _Events:
    """Events of one order by their ids: accepted, or perhaps accepted."""

    def __init__(self) -> None:
        self.accepted: dict[str, Event] = {}
        self.unknown: dict[str, Event] = {}
        self.story: list[int] = []

    def possible(self) -> Iterator[list[Event]]:
        open_ = [event for id_, event in self.unknown.items() if id_ not in self.accepted]
        for count in range(min(len(open_), MOST_UNKNOWN) + 1):
            for chosen in combinations(open_, count):
                yield [*self.accepted.values(), *chosen]


def orders_are_folds(evidence: Evidence) -> Iterator[Broken]:
    """The points of an order that are kept, and whether they are active, follow from its events."""
    credits = {
        credit.activity["order_id"]: credit
        for credit in evidence.books.credits
        if credit.rule_id == "purchase" and credit.boost is None and credit.activity.get("order_id")
    }
    closed = evidence.books.closed
    for (member, order_id), events in _by_order(evidence).items():
        if member in closed:
            continue
        found = _found(credits.get(order_id))
        right = {outcome(each) for each in events.possible()}
        if None not in right and found not in right:
            text = f"{member}: {order_id} has {found}, and its events say {sorted(right, key=str)}"
            yield Broken(ORDER, tuple(events.story), text)


def outcome(events: Sequence[Event]) -> tuple[int, str] | None:
    """(points that are kept, state) of an order with these events; None where a hold paid a part of it."""
    paid = [event["data"] for event in events if event["type"] == "order.paid"]
    if not paid:
        return 0, "none"
    if "hold_id" in paid[0]:
        return None
    lines = {line["line_id"]: line for line in paid[0]["lines"]}
    total = sum(line["paid"] for line in lines.values())
    points = total // PER_POINT
    kept = points - int(points * _back(events, lines) / total)
    if not kept:
        return 0, "none"
    is_delivered = any(event["type"] == "order.delivered" for event in events)
    return kept, "active" if is_delivered else "pending"


def _back(events: Sequence[Event], lines: dict[str, Any]) -> Fraction:
    """The money's worth of the pieces that came back."""
    pieces: defaultdict[str, int] = defaultdict(int)
    for event in events:
        if event["type"] == "order.cancelled" or (
            event["type"] == "order.returned" and "lines" not in event["data"]
        ):
            return Fraction(sum(line["paid"] for line in lines.values()))
        for returned in event["data"].get("lines", ()) if event["type"] == "order.returned" else ():
            pieces[returned["line_id"]] += returned["quantity"]
    return sum(
        (
            Fraction(line["paid"] * min(pieces[id_], line["quantity"]), line["quantity"])
            for id_, line in lines.items()
        ),
        Fraction(),
    )


def _found(credit: Credit | None) -> tuple[int, str]:
    if credit is None or credit.state == "reversed" or not credit.kept:
        return 0, "none"
    return credit.kept, credit.state


def _by_order(evidence: Evidence) -> dict[tuple[str, str], _Events]:
    orders: defaultdict[tuple[str, str], _Events] = defaultdict(_Events)
    for exchange in evidence.of("sendEvents"):
        if exchange.outcome == "refused":
            continue
        refused = {each["index"] for each in exchange.answer["refused"]} if exchange.is_done else set()
        for index, event in enumerate(exchange.sent.body):
            if event["type"].startswith("order.") and index not in refused:
                order = orders[event["member_id"], event["data"]["order_id"]]
                order.story.append(exchange.id)
                (order.accepted if exchange.is_done else order.unknown)[event["id"]] = event
    return orders
