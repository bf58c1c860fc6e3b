"""The shop reports orders and removals: late, repeated, in any order, in batches that overlap."""

from datetime import timedelta
from random import Random
from typing import Any

from engage.torture.members.actions import PROGRAM, Action
from engage.torture.members.choices.earning import PRODUCTS
from engage.torture.members.knowledge import Knowledge, KnownOrder

PRICES = (99, 250, 999, 1_950, 3_351)
LATE = (timedelta(), timedelta(), timedelta(minutes=7), timedelta(hours=5), timedelta(hours=40))


def report(known: Knowledge, rng: Random) -> Action | None:
    """A batch of new events, some of those that were sent before, and at times one that is refused."""
    new = [event for _ in range(rng.choice([1, 1, 2, 3])) if (event := _event(known, rng)) is not None]
    known.events += new
    old = rng.sample(known.events, min(len(known.events), rng.choice([0, 0, 1, 3])))
    batch = [*new, *(event for event in old if event not in new)]
    if not batch:
        return None
    rng.shuffle(batch)
    return send_events(batch)


def send_events(events: list[dict[str, Any]]) -> Action:
    return Action(
        operation="sendEvents", method="POST", path="/v1/shop/events", body=list(events), caller="shop"
    )


def event(known: Knowledge, rng: Random, kind: str, content: dict[str, Any]) -> dict[str, Any]:
    at = max(known.joined, known.now - rng.choice(LATE))
    return {
        "id": known.new_id("event"),
        "type": kind,
        "time": at.isoformat(),
        "program": PROGRAM,
        "member_id": known.member,
        "data": content,
    }


def paid(known: Knowledge, rng: Random, order: KnownOrder) -> dict[str, Any]:
    content = {
        "order_id": order.order_id,
        "channel": rng.choice(["web", "app", "store"]),
        "payment": {"method": "card"},
        "lines": order.lines,
        "shipping": 0,
        "currency": "EUR",
    }
    if order.hold_id is not None:
        content["hold_id"] = order.hold_id
    known.orders[order.order_id] = order
    return event(known, rng, "order.paid", content)


def lines(rng: Random) -> list[dict[str, Any]]:
    found = []
    for number in range(rng.choice([1, 2, 3])):
        quantity = rng.choice([1, 2, 3])
        found.append(
            {
                "line_id": str(number),
                "product_id": rng.choice(PRODUCTS),
                "quantity": quantity,
                "paid": quantity * rng.choice(PRICES),
            }
        )
    return found


def _event(known: Knowledge, rng: Random) -> dict[str, Any] | None:
    open_orders = [order for order in known.orders.values() if not order.is_cancelled]
    match rng.choice(["pay", "pay", "deliver", "deliver", "return", "cancel", "remove", "sign_in"]):
        case "pay":
            return paid(known, rng, KnownOrder(known.new_id("order"), lines(rng)))
        case "deliver" if open_orders:
            order = rng.choice(open_orders)
            order.is_delivered = True
            return event(known, rng, "order.delivered", {"order_id": order.order_id})
        case "return" if open_orders:
            return _returned(known, rng, rng.choice(open_orders))
        case "cancel" if open_orders and rng.random() < 0.4:
            order = rng.choice(open_orders)
            order.is_cancelled = True
            return event(known, rng, "order.cancelled", {"order_id": order.order_id})
        case "remove" if known.reviews and rng.random() < 0.5:
            return event(known, rng, "review.removed", {"review_id": rng.choice(known.reviews)})
        case "remove" if known.shares:
            return event(known, rng, "share.removed", {"share_id": rng.choice(known.shares)})
        case "sign_in":
            return event(known, rng, "app.signed_in", {})
    return None


def _returned(known: Knowledge, rng: Random, order: KnownOrder) -> dict[str, Any] | None:
    """Some of the pieces that the customer still has, or at times all that is left."""
    kept = order.kept()
    if not kept:
        return None
    content: dict[str, Any] = {"order_id": order.order_id, "return_id": known.new_id("return")}
    if rng.random() < 0.8:
        line_id = rng.choice(sorted(kept))
        quantity = rng.randint(1, kept[line_id])
        content["lines"] = [{"line_id": line_id, "quantity": quantity}]
        kept = {line_id: quantity}
    for line_id, quantity in kept.items():
        order.back[line_id] = order.back.get(line_id, 0) + quantity
    return event(known, rng, "order.returned", content)


CHOICES = ((7, report),)
