"""Checks find books that do not add up, limits that are passed, orders and holds that end wrongly."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from engage.torture.checks import feed, limits, orders, spending, statement
from engage.torture.checks.books import Balance, Coupon, Entry, Hold, Withdrawal
from engage.torture.checks.decisions import Decisions, differences, expected_tap
from engage.torture.members.sockets import DELAY_S
from engage.torture.record import Closed, Opened, Pushed
from tests.torture.evidence import BEGAN, MEMBER, Written, credit_row, tap_credit, uuid


@pytest.fixture
def written() -> Written:
    found = Written()
    found.books.balances.append(balance())
    return found


def balance(**fields: Any) -> Balance:
    empty = {"active": 0, "pending": 0, "held": 0, "debt": 0, "version": 0, "closed": False}
    return Balance(member_id=MEMBER, **empty | fields)


def entry(seq: int, active: int, after: int, **fields: Any) -> Entry:
    row = Entry(
        member_id=MEMBER,
        seq=seq,
        kind="earning",
        at=BEGAN + timedelta(minutes=seq),
        active_delta=active,
        held_delta=0,
        debt_delta=0,
        house_delta=-active,
        balance_after=after,
        credit_id=None,
        hold_id=None,
    )
    return replace(row, **fields)


def test_entries_that_add_up_are_found_sound(written: Written) -> None:
    written.books.entries.extend([entry(1, 5, 5), entry(2, 7, 12)])
    written.change(balance(), active=12)
    assert written.found(statement.entries_add_up) == []


@pytest.mark.parametrize(
    "change",
    [{"balance_after": 13}, {"house_delta": 0}, {"active_delta": 8, "house_delta": -8}],
)
def test_an_entry_that_does_not_add_up_is_found(written: Written, change: dict[str, Any]) -> None:
    written.books.entries.extend([entry(1, 5, 5), entry(2, 7, 12, **change)])
    written.change(balance(), active=12)
    assert written.found(statement.entries_add_up)


def test_a_balance_without_its_entries_is_found(written: Written) -> None:
    written.change(balance(), active=1)
    assert written.found(statement.entries_add_up)


def test_a_pending_balance_without_its_credits_is_found(written: Written) -> None:
    written.change(balance(), pending=5)
    assert written.found(statement.pending_adds_up)
    written.books.credits.append(replace(tap_credit(21), state="pending"))
    assert written.found(statement.pending_adds_up) == []


def test_an_entry_that_changed_is_found(written: Written) -> None:
    item = {"seq": 1, "kind": "earning", "points": 5, "balance_after": 5}
    written.books.entries.append(entry(1, 5, 5))
    written.send("listEntries", "GET", answer={"items": [item]})
    assert written.found(statement.entries_stay) == []
    written.send("listEntries", "GET", answer={"items": [item | {"points": 6}]})
    assert len(written.found(statement.entries_stay)) == 1


def test_an_entry_that_vanished_is_found(written: Written) -> None:
    item = {"seq": 1, "kind": "earning", "points": 5, "balance_after": 5}
    written.send("listEntries", "GET", answer={"items": [item]})
    assert written.found(statement.entries_stay)


@pytest.mark.parametrize(
    "second",
    [
        {"active": -1, "debt": 0, "seq": 6},
        {"active": 1, "debt": 1, "seq": 6},
        {"active": 1, "debt": 0, "seq": 4},
    ],
)
def test_an_unsound_balance_is_found(written: Written, second: dict[str, int]) -> None:
    for shown in ({"active": 1, "debt": 0, "seq": 5}, {"active": 1, "debt": 0, "seq": 6}):
        written.send("getHome", "GET", answer={"balance": shown})
        assert written.found(statement.balances_are_sound) == []
    written.send("getHome", "GET", answer={"balance": second})
    assert len(written.found(statement.balances_are_sound)) == 1


def test_one_share_more_than_the_limit_of_a_day_is_found(written: Written) -> None:
    for number in range(3):
        activity = {"activity": "share"}
        key = f"share_social:2026-11-21:{number}"
        written.books.credits.append(credit_row(number, "share_social", key, BEGAN, activity))
    assert written.found(limits.limits_hold) == []
    late = BEGAN.replace(hour=22, minute=59)  # 23:59 in Madrid.
    written.books.credits.append(credit_row(4, "share_social", "share_social:2026-11-21:4", late, {}))
    assert len(written.found(limits.limits_hold)) == 1
    written.change(written.books.credits[-1], activity_at=late + timedelta(minutes=1))
    assert written.found(limits.limits_hold) == []


def test_one_coupon_more_than_the_stock_is_found(written: Written) -> None:
    for number in range(13):
        member_id = f"m-{number // 2 + 2}"
        fields: dict[str, Any] = {"id": uuid(number), "redemption_id": uuid(number), "reward_id": "scarce"}
        fields |= {"state": "issued", "points": 5, "hold_id": None, "issued_at": BEGAN}
        written.books.coupons.append(Coupon(member_id=member_id, **fields))
    used = [limits.Used(each.member_id, "scarce", BEGAN) for each in written.books.coupons]
    zones = {each.member_id: "Europe/Madrid" for each in written.books.coupons}
    assert list(limits.over(used[:12], zones, limits.LIMITS)) == []
    assert len(list(limits.over(used, zones, limits.LIMITS))) == 1


def event(kind: str, id_: str, **content: Any) -> dict[str, Any]:
    return {"id": id_, "type": f"order.{kind}", "member_id": MEMBER, "data": {"order_id": "o"} | content}


LINES = [
    {"line_id": "1", "quantity": 3, "paid": 1_000},
    {"line_id": "2", "quantity": 1, "paid": 1_050},
]
PAID = event("paid", "e-1", lines=LINES)
DELIVERED = event("delivered", "e-2")
RETURNED = event("returned", "e-3", return_id="r", lines=[{"line_id": "1", "quantity": 1}])
ALL_BACK = event("returned", "e-4", return_id="s")
CANCELLED = event("cancelled", "e-5")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], (0, "none")),
        ([DELIVERED], (0, "none")),
        ([PAID], (20, "pending")),
        ([DELIVERED, PAID], (20, "active")),
        ([PAID, RETURNED], (17, "pending")),  # 20 - ⌊20 × 333⅓ ÷ 2050⌋
        ([RETURNED, DELIVERED, PAID], (17, "active")),
        ([PAID, DELIVERED, RETURNED, ALL_BACK], (0, "none")),
        ([PAID, CANCELLED, DELIVERED], (0, "none")),
        ([event("paid", "e", lines=LINES, hold_id="h")], None),
    ],
)
def test_the_outcome_of_an_order_follows_from_its_events(events: list[Any], expected: Any) -> None:
    assert orders.outcome(events) == expected
    assert orders.outcome(events[::-1]) == expected


def test_an_order_that_earned_otherwise_is_found(written: Written) -> None:
    activity = {"activity": "order", "order_id": "o"}
    row = credit_row(1, "purchase", "order:o:purchase", BEGAN, activity, points=20, state="pending")
    written.books.credits.append(row)
    written.send("sendEvents", body=[PAID, RETURNED], answer={"refused": [{"index": 1}]})
    assert written.found(orders.orders_are_folds) == []
    written.send("sendEvents", body=[DELIVERED], status=None)
    assert written.found(orders.orders_are_folds) == [], "it may have been lost"
    written.change(row, state="active")
    assert written.found(orders.orders_are_folds) == [], "or have arrived"
    written.send("sendEvents", body=[RETURNED], answer={"refused": []})
    assert len(written.found(orders.orders_are_folds)) == 1


def hold(state: str) -> Hold:
    fields: dict[str, Any] = {"id": uuid(7), "purpose": "checkout", "points": 20, "order_id": "o"}
    return Hold(member_id=MEMBER, state=state, discount_minor=20, **fields)


def hold_entry(seq: int, held: int, kind: str = "hold") -> Entry:
    return entry(seq, -held, 0, kind=kind, held_delta=held, house_delta=0, hold_id=uuid(7))


def test_a_hold_that_ends_otherwise_than_it_was_answered_is_found(written: Written) -> None:
    written.books.holds.append(hold("captured"))
    written.books.entries.extend([hold_entry(1, 20), hold_entry(2, -20, "capture")])
    written.send("captureHold", path=f"/v1/shop/checkout/holds/{uuid(7)}/capture")
    assert written.found(spending.holds_end_once) == []
    written.change(hold("captured"), state="released")
    assert len(written.found(spending.holds_end_once)) == 1


def test_points_that_leave_a_hold_twice_are_found(written: Written) -> None:
    written.books.holds.append(hold("captured"))
    written.books.entries.extend(
        [hold_entry(1, 20), hold_entry(2, -20, "capture"), hold_entry(3, -20, "capture")]
    )
    assert {broken.promise for broken in written.found(spending.holds_end_once)} >= {spending.ONCE}


def withdrawal(state: str, phone: str | None = None) -> Withdrawal:
    fields: dict[str, Any] = {"id": uuid(8), "hold_id": uuid(7), "points": 20, "requested_at": BEGAN}
    return Withdrawal(member_id=MEMBER, state=state, phone=phone, **fields)


@pytest.mark.parametrize(
    ("state", "of_hold", "phone", "is_broken"),
    [
        ("settled", "captured", "+3460000000", False),
        ("failed", "released", "+3460000001", False),
        ("settled", "released", "+3460000000", True),
        ("settled", "captured", "+3460000001", True),
        ("failed", "released", "+3460000003", True),
    ],
)
def test_a_withdrawal_that_ends_wrongly_is_found(
    written: Written, state: str, of_hold: str, phone: str, is_broken: bool
) -> None:
    written.books.holds.append(hold(of_hold))
    written.books.withdrawals.append(withdrawal(state, phone))
    assert bool(written.found(spending.withdrawals_end_once)) is is_broken


def test_a_withdrawal_that_was_paid_stays_paid(written: Written) -> None:
    written.books.holds.append(hold("released"))
    written.books.withdrawals.append(withdrawal("failed"))
    written.send("getWithdrawal", "GET", answer={"id": str(uuid(8)), "state": "failed"})
    assert written.found(spending.withdrawals_end_once) == []
    written.send("getWithdrawal", "GET", answer={"id": str(uuid(8)), "state": "settled"})
    assert len(written.found(spending.withdrawals_end_once)) == 1


def test_a_coupon_that_was_not_paid_for_is_found(written: Written) -> None:
    fields: dict[str, Any] = {"id": uuid(1), "redemption_id": uuid(1), "reward_id": "coupon"}
    fields |= {"state": "issued", "points": 15, "hold_id": None, "issued_at": BEGAN}
    written.books.coupons.append(Coupon(member_id=MEMBER, **fields))
    assert written.found(spending.coupons_are_paid_once)
    written.books.entries.append(entry(1, -15, 0, kind="redemption"))
    assert written.found(spending.coupons_are_paid_once) == []


def push(written: Written, seq: int, kind: str = "balance", socket: int = 1, active: int = 0) -> None:
    written.at += 1
    shown = {"active": active, "pending": 0, "held": 0, "debt": 0}
    message = {"type": kind, "seq": seq, "balance": shown}
    written.record.add(Pushed(at=written.at, member=MEMBER, socket=socket, message=message))


def open_socket(written: Written, socket: int = 1) -> None:
    written.at += 1
    written.record.add(Opened(at=written.at, member=MEMBER, socket=socket))


def test_a_socket_whose_seq_falls_is_found(written: Written) -> None:
    open_socket(written)
    push(written, 3, "snapshot")
    push(written, 5)
    push(written, 4, "snapshot")
    assert written.found(feed.sockets_are_in_order) == []
    push(written, 3)
    assert len(written.found(feed.sockets_are_in_order)) == 1


def test_a_socket_that_begins_without_a_state_is_found(written: Written) -> None:
    open_socket(written)
    push(written, 3)
    assert len(written.found(feed.sockets_are_in_order)) == 1


def test_two_states_under_one_seq_are_found(written: Written) -> None:
    open_socket(written)
    push(written, 3, "snapshot")
    shown = {"active": 0, "pending": 0, "held": 0, "debt": 0, "seq": 3}
    written.send("getHome", "GET", answer={"balance": shown})
    assert written.found(feed.states_agree) == []
    written.send("getHome", "GET", answer={"balance": shown | {"pending": 1}})
    assert len(written.found(feed.states_agree)) == 1
    push(written, 3, active=2)
    assert len(written.found(feed.states_agree)) == 2


@pytest.mark.parametrize(("seq", "is_broken"), [(3, True), (4, False)])
def test_a_socket_that_missed_the_last_change_is_found(written: Written, seq: int, is_broken: bool) -> None:
    open_socket(written)
    push(written, seq, "snapshot")
    written.send("getHome", "GET", answer={"balance": {"seq": 4}})
    written.record.add(Closed(at=written.at + DELAY_S + 1, member=MEMBER, socket=1, code=1000))
    assert bool(written.found(feed.last_states_are_pushed)) is is_broken


def test_a_decision_that_changed_is_found() -> None:
    before = Decisions(streak={"days": 2}, limits={"share_link": 3}, is_open=True)
    assert list(differences({MEMBER: before}, {MEMBER: before})) == []
    after = replace(before, limits={"share_link": 4})
    assert len(list(differences({MEMBER: before}, {MEMBER: after}))) == 1
    assert expected_tap(before, has_tapped=False) == (202, 3)
    assert expected_tap(before, has_tapped=True) == (409, None)
