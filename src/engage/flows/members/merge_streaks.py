"""Streaks in a merger: two do not add up.

The survivor's streak stays. A day of the other account is used, and where it is newer than the survivor's
days the streak goes on with it. Freezes that the other account got and has not used come along: they were
paid for.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.merged_slots import ClosingCredit, DayUse
from engage.domain.earning.streak import Streak, freezes_at, with_freezes
from engage.domain.earning.streak_history import Introduction, StreakEvent, TappedDay, fold
from engage.domain.earning.streak_record import run_inputs
from engage.domain.keys import MemberKey
from engage.flows.activities.streaks import introduction, streak_terms, with_terms
from engage.ledger.closing import merge as ledger
from engage.ledger.streaks import StreakInLedger, StreakKey, add_freezes, read_histories, seq_of
from engage.runtime.ids import new_id
from engage.runtime.services import Services


class _History(Struct):
    """The events of one streak. `seq` is how many there are."""

    events: list[StreakEvent]
    seq: int
    since: Introduction | None

    def streak(self) -> Streak | None:
        return fold(self.events, self.since).streak


async def use_days(
    services: Services,
    conn: AsyncConnection,
    key: MemberKey,
    into: str,
    days: Sequence[DayUse],
    *,
    country: str,
    now: datetime,
) -> set[str]:
    """Use days of streaks, each with a credit of no points.

    Returns the keys that were added: the survivor may have used a day meanwhile.
    """
    added: set[str] = set()
    histories: dict[str, _History] = {}
    for day in sorted(days, key=lambda day: (day.rule_id, day.place.source_key)):
        if day.rule_id not in histories:
            survivor = StreakKey(key[0], into, day.rule_id)
            histories[day.rule_id] = await _read(services, conn, survivor, country)
        history = histories[day.rule_id]
        tapped = await _newest(services, key[0], day, history)
        inputs: dict[str, Any] = {}
        if tapped is not None:
            run = fold([*history.events, tapped], history.since)
            assert run.streak is not None
            number = run.numbers[tapped.day]
            inputs = {"day": tapped.day.isoformat(), "zone": tapped.zone, "streak_days": number}
            inputs |= run_inputs(run.streak, tapped.day, tapped.at)
        seq = None if tapped is None else history.seq + 1
        if await ledger.use_day(conn, key, into, day, inputs=inputs, seq=seq, now=now):
            added.add(day.place.source_key)
            if tapped is not None:
                history.events.append(tapped)
                history.seq += 1
    return added


async def move_freezes(
    services: Services,
    conn: AsyncConnection,
    key: MemberKey,
    into: str,
    credits: Iterable[ClosingCredit],
    *,
    country: str,
    now: datetime,
) -> bool:
    """Give the survivor the freezes that the other account got and still has.

    Returns False where the survivor's streak has had another event meanwhile.
    """
    got: dict[str, int] = {}
    for credit in credits:
        if credit.freezes_got:
            got[credit.rule_id] = got.get(credit.rule_id, 0) + credit.freezes_got
    if not got:
        return True
    program = services.programs.latest(key[0], at=now, country=country)
    market = program.countries.get(country)
    for rule_id, count in sorted(got.items()):
        terms = streak_terms(program, rule_id)
        old = await _read(services, conn, StreakKey(*key, rule_id), country)
        survivor = StreakKey(key[0], into, rule_id)
        history = await _read(services, conn, survivor, country)
        moved = min(count, freezes_at(old.streak(), now, terms))
        if moved and market is not None:
            streak = with_freezes(history.streak(), moved, now, market.zone, terms)
            event = StreakInLedger(streak, history.seq + 1)
            if not await add_freezes(
                conn, survivor, event, id_=new_id(), version=program.version, count=moved
            ):
                return False
    return True


async def _read(services: Services, conn: AsyncConnection, key: StreakKey, country: str) -> _History:
    recorded = (await read_histories(conn, [key]))[key]
    events = await with_terms(services, key.program_id, key.rule_id, recorded)
    since = introduction(services.programs.versions(key.program_id), key.rule_id, country=country)
    return _History(events, seq_of(recorded), since)


async def _newest(services: Services, program_id: str, day: DayUse, history: _History) -> TappedDay | None:
    """The day as an event of the survivor's streak, if it is newer than all of its days."""
    credit = day.credit
    used = [event.day for event in history.events if isinstance(event, TappedDay)]
    if credit.day is None or credit.zone is None or (used and credit.day <= max(used)):
        return None
    version = await services.programs.version(services.db, program_id, credit.program_version)
    return TappedDay(credit.activity_at, credit.day, credit.zone, streak_terms(version, day.rule_id))
