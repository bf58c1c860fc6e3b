"""Entries balance, add up, and never change."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from engage.torture.checks.books import Balance, Entry
from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence

BALANCED: Final = "entries balance, and add up to the balance"
UNCHANGED: Final = "an entry never changes"


def entries_add_up(evidence: Evidence) -> Iterator[Broken]:
    """Each entry balances, each `balance_after` follows from the one before, and the sums are the balance."""
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(evidence.books.entries, key=lambda each: each.seq):
        entries[entry.member_id].append(entry)
        if entry.active_delta + entry.held_delta - entry.debt_delta + entry.house_delta:
            yield Broken(BALANCED, (), f"{entry.member_id}: entry {entry.seq} does not balance")
    for balance in evidence.books.balances:
        yield from _chain(balance, entries[balance.member_id])


def _chain(balance: Balance, entries: list[Entry]) -> Iterator[Broken]:
    active = 0
    for entry in entries:
        active += entry.active_delta
        if active != entry.balance_after:
            text = f"entry {entry.seq} leaves {entry.balance_after}, and the sum is {active}"
            yield Broken(BALANCED, (), f"{balance.member_id}: {text}")
            return
    sums = (active, sum(each.held_delta for each in entries), sum(each.debt_delta for each in entries))
    if sums != (balance.active, balance.held, balance.debt):
        shown = (balance.active, balance.held, balance.debt)
        text = f"active, held and owed are {shown}, and the entries say {sums}"
        yield Broken(BALANCED, (), f"{balance.member_id}: {text}")


def pending_adds_up(evidence: Evidence) -> Iterator[Broken]:
    """The pending balance is the sum of the pending credits."""
    pending: defaultdict[str, int] = defaultdict(int)
    for credit in evidence.books.credits:
        if credit.state == "pending":
            pending[credit.member_id] += credit.points
    for balance in evidence.books.balances:
        if pending[balance.member_id] != balance.pending:
            text = f"{balance.pending} are pending, and the credits say {pending[balance.member_id]}"
            yield Broken(BALANCED, (), f"{balance.member_id}: {text}")


def entries_stay(evidence: Evidence) -> Iterator[Broken]:
    """Entries that members read are in the books as they were read, and no two readings of one differ."""
    rows = {(entry.member_id, entry.seq): entry for entry in evidence.books.entries}
    seen: dict[tuple[str, int], Any] = {}
    for exchange in evidence.of("listEntries"):
        if not exchange.is_done or exchange.sent.member in evidence.books.closed:
            continue
        for item in exchange.answer["items"]:
            key = exchange.sent.member, item["seq"]
            row, before = rows.get(key), seen.setdefault(key, item)
            if row is None or (row.kind, row.balance_after) != (item["kind"], item["balance_after"]):
                yield Broken(UNCHANGED, (exchange.id,), f"{key} was read as {item}, and the books have {row}")
            elif before != item:
                yield Broken(UNCHANGED, (exchange.id,), f"{key} was read as {before}, and then as {item}")


def balances_are_sound(evidence: Evidence) -> Iterator[Broken]:
    """No balance that a member saw is negative, debt and spendable points never coexist, `seq` never falls
    between two requests of which one followed the other.
    """
    last: dict[str, tuple[float, int]] = {}
    for exchange in sorted(evidence.of("getHome"), key=lambda each: each.sent.at):
        if not exchange.is_done:
            continue
        balance = exchange.answer["balance"]
        ended, seq = last.get(exchange.sent.member, (0.0, 0))
        if min(balance.values()) < 0 or (balance["debt"] and balance["active"]):
            yield Broken(BALANCED, (exchange.id,), f"{exchange.sent.member} saw {balance}")
        if exchange.sent.at > ended:
            if balance["seq"] < seq:
                text = f"{exchange.sent.member} saw {balance} after the seq {seq}"
                yield Broken(BALANCED, (exchange.id,), text)
            last[exchange.sent.member] = exchange.ended, max(seq, balance["seq"])
