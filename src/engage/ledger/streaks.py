"""Streaks in the ledger: the newest event of each, and the whole history.

Each event of a streak is a credit with a `streak_seq`, and says what the streak is after it. Days of before
there were seqs have none: where a streak has no other events, it is the fold of these days.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.limits import DailyStreak
from engage.domain.earning.streak import Streak
from engage.domain.earning.streak_history import GotFreezes, StreakEvent, TappedDay, fold
from engage.domain.earning.streak_record import BESIDE, record, recorded
from engage.domain.keys import MemberKey, freeze_key
from engage.schema.balances import account_of
from engage.schema.credits import credits
from engage.schema.rows import Batch

# The input of a credit that gave freezes: how many.
GOT = "freezes_got"

_RULES = Batch("a", credits, "program_id", "member_id", "rule_id")


def newest_event(member: str, rule: str) -> str:
    """A query for the newest event of a streak, or else the days of before there were seqs.

    These two are SQL expressions, the first one an alias of a row with `program_id` and `member_id`. Its
    columns are `seq`, `at` and `inputs`, null without an event, and `days`: [[time, day, zone], …] or null.
    """
    of_rule = (
        f"c.account = {account_of(f'{member}.program_id', f'{member}.member_id')} AND c.rule_id = {rule}"
    )
    return f"""
    SELECT e.seq, e.at, coalesce(e.why, d.why) -> 'inputs' AS inputs, CASE WHEN e.seq IS NULL THEN (
        SELECT json_agg(json_build_array(
            c.activity_at, c.why -> 'inputs' ->> 'day', c.why -> 'inputs' ->> 'zone'))
        FROM credits c
        WHERE {of_rule} AND c.source_key >= {rule} || ':' AND c.source_key < {rule} || ';'
          AND c.why -> 'inputs' ->> 'day' IS NOT NULL AND c.beside IS NULL
    ) END AS days
    FROM (SELECT) one LEFT JOIN LATERAL (
        SELECT c.streak_seq AS seq, c.activity_at AS at, c.why, c.decision
        FROM stored_credits c WHERE {of_rule} AND c.streak_seq IS NOT NULL
        ORDER BY c.streak_seq DESC LIMIT 1
    ) e ON true LEFT JOIN decisions d ON d.id = e.decision
    """  # noqa: S608  # Made of constants, here and below.


def days_between(member: str, rule: str, first: str, last: str) -> str:
    """A query for the days with an activity from `first` to `last`, in no order. All are SQL expressions."""
    return f"""
    SELECT c.why -> 'inputs' ->> 'day' FROM credits c
    WHERE c.account = {account_of(f"{member}.program_id", f"{member}.member_id")} AND c.rule_id = {rule}
      AND c.source_key BETWEEN {rule} || ':' || {first} AND {rule} || ':' || {last}
      AND c.why -> 'inputs' ->> 'day' IS NOT NULL
    """  # noqa: S608


_NEWEST = text(f"""
SELECT a.program_id, a.member_id, a.rule_id, e.seq, e.at, e.inputs, e.days
FROM {_RULES} CROSS JOIN LATERAL ({newest_event("a", "a.rule_id")}) e
WHERE e.seq IS NOT NULL OR e.days IS NOT NULL
""")  # noqa: S608

_HISTORIES = text(f"""
SELECT a.program_id, a.member_id, a.rule_id, c.streak_seq AS seq, c.activity_at AS at, c.program_version,
       c.why -> 'inputs' AS inputs
FROM {_RULES} JOIN credits c
  ON c.program_id = a.program_id AND c.member_id = a.member_id AND c.rule_id = a.rule_id
 AND c.source_key >= a.rule_id || ':' AND c.source_key < a.rule_id || ';'
WHERE (c.why -> 'inputs' ->> 'day' IS NOT NULL OR c.streak_seq IS NOT NULL) AND c.beside IS NULL
""")  # noqa: S608

_ADD_FREEZES = text(f"""
INSERT INTO stored_credits (account, id, source_key, rule_id, program_version, points, state, activity_at,
                            accepted_at, reversed_at, why, streak_seq)
VALUES ({account_of(":program_id", ":member_id")}, :id, :source_key, :rule_id, :version, 0, 'reversed', :at,
        :at, :at, CAST(:why AS jsonb), :seq)
ON CONFLICT DO NOTHING
""")  # noqa: S608

_NO_TERMS = DailyStreak()


class StreakKey(msgspec.Struct, frozen=True):
    """A member and a rule that counts days in a row."""

    program_id: str
    member_id: str
    rule_id: str

    @property
    def member(self) -> MemberKey:
        return self.program_id, self.member_id


class StreakInLedger(msgspec.Struct, frozen=True):
    """A streak after its newest event, and how many events it has had."""

    streak: Streak
    seq: int


class RecordedEvent(msgspec.Struct, frozen=True):
    """An event of a streak with the version that decided it. A day, or else `got` freezes."""

    seq: int | None
    at: datetime
    version: str
    day: date | None
    zone: str
    got: int

    def event(self, terms: DailyStreak) -> StreakEvent:
        if self.day is None:
            return GotFreezes(self.at, self.got, self.zone, terms)
        return TappedDay(self.at, self.day, self.zone, terms)


async def read_streaks(
    conn: AsyncConnection, streaks: Sequence[StreakKey]
) -> dict[StreakKey, StreakInLedger]:
    """Read each streak; those without an event are absent."""
    if not streaks:
        return {}
    rows = await conn.execute(_NEWEST, _RULES.of(map(msgspec.structs.astuple, streaks)))
    found = {}
    for row in rows:
        streak = streak_of(row.seq, row.at, row.inputs, row.days)
        if streak is not None:
            found[StreakKey(row.program_id, row.member_id, row.rule_id)] = streak
    return found


def streak_of(seq: int | None, at: Any, inputs: Any, days: Any) -> StreakInLedger | None:
    """The streak of a row of `newest_event`; None where nothing has happened."""
    if seq is not None:
        return StreakInLedger(recorded(inputs, _instant(at)), seq)
    if not days:
        return None
    events = [TappedDay(_instant(at), date.fromisoformat(day), zone, _NO_TERMS) for at, day, zone in days]
    streak = fold(events).streak
    return None if streak is None else StreakInLedger(streak, len(events))


async def read_histories(
    conn: AsyncConnection, streaks: Sequence[StreakKey]
) -> dict[StreakKey, list[RecordedEvent]]:
    """Read all events of each streak, in no order."""
    found: dict[StreakKey, list[RecordedEvent]] = {streak: [] for streak in streaks}
    for row in await conn.execute(_HISTORIES, _RULES.of(map(msgspec.structs.astuple, streaks))):
        event = _event(row.seq, row.at, row.program_version, row.inputs)
        found[StreakKey(row.program_id, row.member_id, row.rule_id)].append(event)
    return found


def seq_of(history: Sequence[RecordedEvent]) -> int:
    """The number of events that a streak has had."""
    return max((event.seq for event in history if event.seq is not None), default=len(history))


async def add_freezes(
    conn: AsyncConnection, key: StreakKey, after: StreakInLedger, *, id_: UUID, version: str, count: int
) -> bool:
    """Record that a member got freezes, as the next event of their streak, which is `after` it.

    Returns False where the streak has had another event meanwhile.
    """
    streak = after.streak
    inputs = {GOT: count, "zone": streak.zone, BESIDE: record(streak)}
    added = await conn.execute(
        _ADD_FREEZES,
        {
            "program_id": key.program_id,
            "member_id": key.member_id,
            "id": id_,
            "source_key": freeze_key(key.rule_id, id_),
            "rule_id": key.rule_id,
            "version": version,
            "at": streak.at,
            "seq": after.seq,
            "why": msgspec.json.encode({"inputs": inputs, "trace": []}).decode(),
        },
    )
    return bool(added.rowcount)


def _event(seq: int | None, at: datetime, version: str, inputs: dict[str, Any]) -> RecordedEvent:
    day = inputs.get("day")
    return RecordedEvent(
        seq=seq,
        at=at,
        version=version,
        day=None if day is None else date.fromisoformat(day),
        zone=inputs["zone"],
        got=inputs.get(GOT, 0),
    )


def _instant(at: str | datetime) -> datetime:
    return at if isinstance(at, datetime) else datetime.fromisoformat(at)
