"""Holds, coupons and withdrawals end as their answers said."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from engage.torture.checks.books import Entry, Hold
from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence

ENDS: Final = "holds, coupons and withdrawals end as they were answered"
ONCE: Final = "money is sent once"

# What the sandbox's provider does with a number, by its last digits.
PAID_ENDINGS: Final = ("00", "03", "04")
FAILED_ENDINGS: Final = ("01", "02")
# A release of a hold that ran out is answered as a repeat.
CLOSED_STATES: Final = {"captureHold": {"captured"}, "releaseHold": {"released", "expired"}}


def holds_end_once(evidence: Evidence) -> Iterator[Broken]:
    """A hold that was answered as captured or released is that, and its points left it once."""
    holds = {str(hold.id): hold for hold in evidence.books.holds}
    for operation, states in CLOSED_STATES.items():
        for exchange in evidence.of(operation):
            hold = holds.get(exchange.sent.path.split("/")[-2])
            if exchange.is_done and (hold is None or hold.state not in states):
                text = f"{exchange.sent.path} was answered, and the hold is {hold and hold.state}"
                yield Broken(ENDS, (exchange.id,), text)
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in evidence.books.entries:
        if entry.hold_id is not None:
            entries[str(entry.hold_id)].append(entry)
    for id_, hold in holds.items():
        if hold.purpose != "redemption" and hold.member_id not in evidence.books.closed:
            yield from _entries_of(hold, entries[id_])


def _entries_of(hold: Hold, entries: list[Entry]) -> Iterator[Broken]:
    begun = [entry for entry in entries if entry.kind == "hold"]
    held = sum(entry.held_delta for entry in entries)
    if len(begun) != 1 or begun[0].held_delta != hold.points:
        text = f"a hold of {hold.points} has {len(begun)} entries that begin it"
        yield Broken(ENDS, (), f"{hold.member_id}: {text}")
    if held != (hold.points if hold.state == "open" else 0):
        yield Broken(ENDS, (), f"{hold.member_id}: a hold that is {hold.state} keeps {held} points")
    left = [entry for entry in entries if entry.held_delta < 0]
    if len(left) > 1:
        yield Broken(ONCE, (), f"{hold.member_id}: the points of a hold left it {len(left)} times")


def withdrawals_end_once(evidence: Evidence) -> Iterator[Broken]:
    """A withdrawal that the provider pays is paid, another one is given back, and an end stays the end."""
    holds = {hold.id: hold for hold in evidence.books.holds}
    rows = {str(row.id): row for row in evidence.books.withdrawals}
    for row in rows.values():
        hold = holds.get(row.hold_id)
        expected = {"settled": "captured", "failed": "released"}.get(row.state, "open")
        if row.member_id not in evidence.books.closed and (hold is None or hold.state != expected):
            text = f"a withdrawal that is {row.state} has a hold that is {hold and hold.state}"
            yield Broken(ENDS, (), f"{row.member_id}: {text}")
        ending = (row.phone or "--")[-2:]
        if (row.state == "settled" and ending in FAILED_ENDINGS) or (
            row.state == "failed" and ending in PAID_ENDINGS
        ):
            yield Broken(ONCE, (), f"{row.member_id}: a payout to {row.phone} is {row.state}")
    for exchange in evidence.of("getWithdrawal"):
        if exchange.is_done and exchange.answer["state"] in ("settled", "failed"):
            now = rows.get(exchange.answer["id"])
            if now is None or now.state != exchange.answer["state"]:
                text = f"a withdrawal was {exchange.answer['state']}, and is {now and now.state}"
                yield Broken(ENDS, (exchange.id,), text)


def coupons_are_paid_once(evidence: Evidence) -> Iterator[Broken]:
    """Each coupon that a member redeemed cost its points once."""
    cost: defaultdict[str, int] = defaultdict(int)
    worth: defaultdict[str, int] = defaultdict(int)
    for entry in evidence.books.entries:
        if entry.kind == "redemption":
            cost[entry.member_id] -= entry.active_delta
    for coupon in evidence.books.coupons:
        worth[coupon.member_id] += coupon.points
    for member in (cost.keys() | worth.keys()) - evidence.books.closed:
        if cost[member] != worth[member]:
            text = f"{member}: {cost[member]} points were taken for coupons of {worth[member]}"
            yield Broken(ENDS, (), text)
