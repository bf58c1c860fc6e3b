"""Checks of the processes, by their heartbeats, and of the work that waits for them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from engage.doctor.check import Check, Facts
from engage.doctor.observations import ProcessesSeen, WorkSeen
from engage.doctor.words import age_text
from engage.live_settings import SECRETS_LOOP
from engage.runtime.liveness import CLOCK_FAR_OFF, CLOCK_OFF

LATE: Final = timedelta(minutes=1)
UNKNOWN_FOR: Final = timedelta(hours=24)
BACKTEST_FOR: Final = timedelta(hours=6)
# Ordinary bursts are done in seconds.
CHANGES_LATE: Final = timedelta(minutes=2)

_PURPOSES: Final = {
    "api": "nobody answers requests",
    "feed": "open screens get no news",
    "worker": "nothing that is due is done: points stay pending",
}


def _none(seen: ProcessesSeen) -> Iterator[Facts]:
    for name, alive in seen.alive.items():
        if not alive:
            yield {"name": name, "purpose": _PURPOSES[name]}


def _loops(seen: ProcessesSeen) -> Iterator[Facts]:
    for name, alive in seen.alive.items():
        for each in alive:
            for problem in each.problems:
                if problem not in (CLOCK_OFF, CLOCK_FAR_OFF, SECRETS_LOOP):
                    yield {"name": name, "id": each.id, "loop": problem}


def _with(problem: str, seen: ProcessesSeen) -> Iterator[Facts]:
    for name, alive in seen.alive.items():
        for each in alive:
            if problem in each.problems:
                yield {"name": name, "id": each.id}


def _secrets(seen: ProcessesSeen) -> Iterator[Facts]:
    yield from _with(SECRETS_LOOP, seen)


def _clocks_off(seen: ProcessesSeen) -> Iterator[Facts]:
    yield from _with(CLOCK_OFF, seen)


def _clocks_far_off(seen: ProcessesSeen) -> Iterator[Facts]:
    yield from _with(CLOCK_FAR_OFF, seen)


def _releases(seen: ProcessesSeen) -> Iterator[Facts]:
    found = {each.release for alive in seen.alive.values() for each in alive if each.release}
    if len(found) > 1:
        yield {"releases": ", ".join(sorted(found))}


def _undone(seen: ProcessesSeen) -> Iterator[Facts]:
    if seen.undone and seen.alive["worker"]:
        yield {"kinds": ", ".join(seen.undone)}


def _overdue(seen: WorkSeen) -> Iterator[Facts]:
    if seen.overdue_credits and seen.oldest_overdue > LATE:
        yield {"count": f"{seen.overdue_credits:,}", "age": age_text(seen.oldest_overdue)}


def _outbox(seen: WorkSeen) -> Iterator[Facts]:
    if seen.outbox_rows and seen.oldest_outbox > LATE:
        yield {"count": f"{seen.outbox_rows:,}", "age": age_text(seen.oldest_outbox)}


def _unknown(seen: WorkSeen) -> Iterator[Facts]:
    if seen.unknown_payouts and seen.oldest_unknown > UNKNOWN_FOR:
        yield {"count": seen.unknown_payouts, "age": age_text(seen.oldest_unknown)}


def _payouts(seen: WorkSeen) -> Iterator[Facts]:
    if seen.late_payouts:
        yield {"count": seen.late_payouts}


def _changes(seen: WorkSeen) -> Iterator[Facts]:
    if seen.changes and seen.oldest_change > CHANGES_LATE:
        yield {"count": f"{seen.changes:,}", "age": age_text(seen.oldest_change)}


def _failing(seen: WorkSeen) -> Iterator[Facts]:
    if seen.failing_changes:
        yield {"count": seen.failing_changes}


def _backtests(seen: WorkSeen) -> Iterator[Facts]:
    if seen.backtests and seen.oldest_backtest > BACKTEST_FOR:
        yield {"count": seen.backtests, "age": age_text(seen.oldest_backtest)}


CHECKS = (
    Check(
        "process_missing",
        "processes",
        "error",
        "No `engage {name}` runs: {purpose}.",
        "Start `engage {name}`, and see its log: a process that cannot start says why.",
        _none,
    ),
    Check(
        "loop_fails",
        "processes",
        "error",
        "The loop `{loop}` of {name} {id} does not do its work.",
        "See the log of this process for the loop's last error. If a server was away it heals by itself; "
        "if the loop is stuck, restart the process.",
        _loops,
    ),
    Check(
        "process_clock_far_off",
        "processes",
        "error",
        "The clock of the machine of {name} {id} is off by more than a minute, so it does not work.",
        "Let this machine follow a time server (chrony, systemd-timesyncd).",
        _clocks_far_off,
    ),
    Check(
        "process_clock_off",
        "processes",
        "warning",
        "The clock of the machine of {name} {id} is off by more than a second.",
        "Let this machine follow a time server (chrony, systemd-timesyncd).",
        _clocks_off,
    ),
    Check(
        "secret_not_read",
        "processes",
        "warning",
        "A file of a secret cannot be read again by {name} {id}, or does not fit. It works with the earlier "
        "values.",
        "Its log names the setting and the reason. Mend the file before you restart this process: it could "
        "not start.",
        _secrets,
    ),
    Check(
        "releases_differ",
        "processes",
        "warning",
        "Processes of several releases run at once: {releases}.",
        "Fine during an upgrade. Afterwards restart those of the older release.",
        _releases,
    ),
    Check(
        "work_not_done",
        "processes",
        "error",
        "No worker has looked within half a minute for: {kinds}.",
        "See the workers' logs, and the queue: its Valkey may be away, or a job blocks a worker.",
        _undone,
    ),
    Check(
        "credits_overdue",
        "work",
        "error",
        "{count} credits are due and still pending, the oldest for {age}.",
        "Start workers, or more of them, and see their logs. Nothing is lost: they settle as soon as a "
        "worker does.",
        _overdue,
    ),
    Check(
        "outbox_old",
        "work",
        "warning",
        "{count} balance changes wait to be published, the oldest for {age}.",
        "Screens show old balances until their next request. See that the Valkey of the topics is up, and "
        "the workers' logs.",
        _outbox,
    ),
    Check(
        "payouts_unknown",
        "work",
        "warning",
        "Of {count} payouts nobody knows whether they were paid, of the oldest for {age}.",
        "Never pay them again by hand. Ask the provider about each; `engage payouts` compares all of them.",
        _unknown,
    ),
    Check(
        "payouts_late",
        "work",
        "warning",
        "{count} withdrawals wait for more than a minute to be sent or asked about.",
        "See the workers' logs for the payout provider's answers.",
        _payouts,
    ),
    Check(
        "reactions_late",
        "work",
        "warning",
        "{count} changes of members wait for challenges, tiers and the like, the oldest for {age}.",
        "Start more workers. If one change fails again and again, the workers' logs say why.",
        _changes,
    ),
    Check(
        "reactions_fail",
        "work",
        "error",
        "What follows from {count} changes of members has failed three times or more.",
        "The workers' logs have the error. `engage audit` names the members.",
        _failing,
    ),
    Check(
        "backtests_stuck",
        "work",
        "warning",
        "{count} backtests run, the oldest for {age}.",
        "Cancel it in the console, or start more workers.",
        _backtests,
    ),
)
