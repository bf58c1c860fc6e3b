"""Days of a streak that came late, such as from another process around midnight, and what they complete.

A day that was accepted after the day that follows it joins two runs. The bonus of a day that was counted
without the days before it is then paid under its own source key, which the database accepts once.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

from engage.domain import calendar
from engage.domain.earning.limits import StreakSlot
from engage.domain.earning.slots import Grant
from engage.flows.activities.attempt import Attempt
from engage.flows.activities.limits_from_ledger import load_gate
from engage.ledger.accept import CreditToAccept
from engage.ledger.used_slots import StreakQuery, read_streaks
from engage.runtime.database import one_statement, transaction
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services

# An activity is accepted within seconds, or not at all.
AROUND_MIDNIGHT: Final = timedelta(minutes=1)


async def complete_runs(services: Services, attempts: Sequence[Attempt]) -> None:
    """Pays what late days have completed, and loads the gate with the whole runs. Raises Unavailable."""
    joined: list[Attempt] = []
    others: list[Attempt] = []
    for attempt in attempts:
        has_later = attempt.streak is not None and attempt.streak.later
        (joined if has_later else others).append(attempt)
    joined = [attempt for attempt in joined if attempt.won] + await _joined_at_once(services, others)
    if joined:
        await _read_again(services, joined)
    bonuses = [credit for attempt in attempts for credit in _late_bonuses(attempt)]
    if bonuses:
        async with open_posting(services, cause="pending", autocommit=True) as posting:
            await posting.accept(bonuses, now=services.clock.now())


async def _joined_at_once(services: Services, attempts: Sequence[Attempt]) -> list[Attempt]:
    """The attempts whose run another process has joined at the same moment, around midnight.

    Neither of two days that are accepted at once sees the other one. But both change the member's balance, so
    one of them is committed first, and the other one finds it here.
    """
    found = {
        StreakQuery(*attempt.member.key, grant.slot.rule_id, attempt.at + timedelta(days=1)): attempt
        for attempt in attempts
        for grant in attempt.won
        if isinstance(grant.slot, StreakSlot) and _may_join(grant.slot, grant.number, attempt.at)
    }
    if not found:
        return []
    async with one_statement(services.db) as conn:
        streaks = await read_streaks(conn, list(found))
    return [found[query] for query, streak in streaks.items() if streak.late]


def _may_join(slot: StreakSlot, days: int, at: datetime) -> bool:
    """Return whether a day is near to another one that did not count with it: the next one, or, for the first
    day of a run, the one before.
    """
    begins, ends = _bounds(slot.day, slot.zone)
    return (days == 1 and at - begins < AROUND_MIDNIGHT) or ends - at < AROUND_MIDNIGHT


@lru_cache(maxsize=256)
def _bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """Cached, because every tap asks for its own day."""
    return calendar.start_of_day(day, zone), calendar.start_of_day(day + timedelta(days=1), zone)


async def _read_again(services: Services, attempts: Sequence[Attempt]) -> None:
    """Reads the whole streaks of attempts: what was read for them ended with their own day.

    Another process's day may have begun before ours.
    """
    await services.gate.forget([attempt.member.key for attempt in attempts])
    at = services.clock.now() + timedelta(days=1)
    async with transaction(services.db) as conn:
        streaks = await load_gate(services, conn, [(attempt.member, at) for attempt in attempts])
    for attempt in attempts:
        attempt.want_again(streaks)


def _late_bonuses(attempt: Attempt) -> list[CreditToAccept]:
    """The credits of rules that share a streak's slot, for days that were counted without earlier ones."""
    if attempt.streak is None or (run := attempt.streak.streak) is None:
        return []
    slot = next(slot for slot in attempt.slots if isinstance(slot, StreakSlot))
    credits = []
    for ago in range(attempt.streak.late):
        late = StreakSlot(slot.rule_id, run.last_day - timedelta(days=ago), run.zone)
        decided = attempt.decisions.credits(
            attempt.program,
            attempt.activity,
            at=attempt.at,
            zone=attempt.zone,
            grants=[Grant(late, run.days - ago)],
        )
        credits += [
            CreditToAccept(*attempt.member.key, new_id(), credit, known=True)
            for credit in decided
            if credit.rule_id != slot.rule_id
        ]
    return credits
