"""Members spend points at the shop's checkout and on rewards, and take them out as money."""

from random import Random
from typing import Final

from engage.torture.members.actions import PROGRAM, Action
from engage.torture.members.choices.orders import lines, paid, send_events
from engage.torture.members.knowledge import Knowledge, KnownOrder, get, post

# The last digits decide what the sandbox's provider does with a payout.
ENDINGS: Final = ("00", "00", "01", "02", "03", "04", "05")


def redeem(_: Knowledge, rng: Random) -> Action:
    reward = rng.choice(["coupon", "coupon", "scarce", "first", "unknown"])
    return post("redeemReward", "/v1/redemptions", {"reward_id": reward})


def hold(known: Knowledge, rng: Random) -> Action:
    body = {
        "program": PROGRAM,
        "member_id": known.member,
        "order_id": known.new_id("order"),
        "lines": lines(rng),
        "shipping": 0,
        "payment": {"method": "card"},
        "currency": "EUR",
    }
    amount = {"spend_max": True} if rng.random() < 0.3 else {"points": rng.choice([10, 12, 20, 35])}
    return _shop("holdPoints", "/v1/shop/checkout/holds", body | amount)


def close_hold(known: Knowledge, rng: Random) -> Action | None:
    """Capture or release a hold; at times the one that was closed already, also the other way."""
    if not known.holds:
        return None
    hold_id = rng.choice(list(known.holds))
    ending = rng.choice(["capture", "capture", "release"])
    return _shop(f"{ending}Hold", f"/v1/shop/checkout/holds/{hold_id}/{ending}")


def pay_held_order(known: Knowledge, rng: Random) -> Action | None:
    """Report the payment of an order that points were held for."""
    unpaid = [hold_id for hold_id, held in known.holds.items() if held["order_id"] not in known.orders]
    if not unpaid:
        return None
    hold_id = rng.choice(unpaid)
    held = known.holds[hold_id]
    event = paid(known, rng, KnownOrder(held["order_id"], held["lines"], hold_id))
    known.events.append(event)
    return send_events([event])


def withdraw(_: Knowledge, rng: Random) -> Action:
    method = rng.choice(["cash", "mobile_money", "mobile_money"])
    body = {"points": rng.choice([5, 10, 15, 30]), "method": method}
    if method == "mobile_money":
        body["phone"] = f"+642112345{rng.choice(ENDINGS)}"
    return post("createWithdrawal", "/v1/withdrawals", body, needs_key=True)


def look_withdrawal(known: Knowledge, rng: Random) -> Action | None:
    if not known.withdrawals:
        return None
    return get("getWithdrawal", f"/v1/withdrawals/{rng.choice(known.withdrawals)}")


def look_coupons(_: Knowledge, __: Random) -> Action:
    return get("listCoupons", "/v1/me/coupons")


def adjust(known: Knowledge, rng: Random) -> Action:
    """An operator gives points, or takes some."""
    body = {
        "points": rng.choice([40, 60, 25, -7]),
        "reason": "torture",
        "reference": known.new_id("adjustment"),
    }
    path = f"/v1/admin/members/{known.member}/adjustments?program={PROGRAM}"
    return Action(operation="adjustPoints", method="POST", path=path, body=body, caller="admin")


def _shop(operation: str, path: str, body: object = None) -> Action:
    return Action(operation=operation, method="POST", path=path, body=body, caller="shop")


CHOICES = (
    (4, redeem),
    (4, hold),
    (4, close_hold),
    (3, pay_held_order),
    (3, withdraw),
    (1, look_withdrawal),
    (1, look_coupons),
    (2, adjust),
)
