"""Accept credits: many at once, in one statement, each exactly once.

The unique source key and the unique slots of windows decide: what is used already is no error. The pending
balances move in the same statement, so a transaction that sees the credit sees the balance.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.domain.accounts.balance import Balance
from engage.domain.earning.credit import NewCredit, Why, WindowPlace
from engage.domain.earning.unit import POINTS
from engage.domain.keys import MemberKey
from engage.domain.protection.suspicion import Suspicion
from engage.ledger.balances import BalanceChange, OutboxRow
from engage.schema.time import NOW

# One statement, one round trip: insert credits, move balances, write the outbox, and note whose facts have
# changed, where something follows from them. Rows are locked in key order, credits (by account) before
# balances, as by every writer of the ledger, so writers never wait in a circle. Every member has a balance:
# without one there is no account, and the statement fails.
#
# A credit takes its source key and its slots in windows together, or none of them: they are in unique indexes
# of the one row. So is the place of a day among the events of its streak: a day that was counted without the
# event before it is not accepted.
#
# One condition is beyond a unique key: an activity whose reference has credits already earns nothing more,
# under any rule. It is looked up row by row, through an index: an EXISTS could be planned as one scan of all
# credits.
_NEW = (
    *("account", "id", "source_key", "reference", "rule_id", "decision", "program_version", "points"),
    *("state", "activity_at", "accepted_at", "due_at", "expires_at", "why", "of_day", "day_slot"),
    *("of_month", "month_slot", "lapses_at", "unit", "boost", "beside", "campaign", "streak_seq"),
)
_INSERT = f"INSERT INTO stored_credits ({', '.join(_NEW)})"
_VALUES = ", ".join({"state": "'pending'", "accepted_at": NOW}.get(name, f"a.{name}") for name in _NEW)

_ACCEPT = DirectStatement(
    text(f"""
WITH batch AS MATERIALIZED (
    SELECT a.*, d.*,
           (SELECT b.account FROM balances b
            WHERE b.program_id = d.program_id AND b.member_id = a.member_id) AS account
    FROM unnest(
        CAST(:member_ids AS text[]), CAST(:ids AS uuid[]), CAST(:with_ids AS uuid[]),
        CAST(:streak_seqs AS int[]), CAST(:groups AS int[])
    ) AS a (member_id, id, with_id, streak_seq, of_group)
    JOIN unnest(
        CAST(:program_ids AS text[]), CAST(:source_keys AS text[]), CAST(:references AS text[]),
        CAST(:rule_ids AS text[]), CAST(:decisions AS int[]), CAST(:versions AS text[]),
        CAST(:points AS bigint[]), CAST(:activity_ats AS timestamptz[]), CAST(:due_ats AS timestamptz[]),
        CAST(:expires_ats AS timestamptz[]), CAST(:whys AS jsonb[]), CAST(:known AS bool[]),
        CAST(:of_days AS date[]), CAST(:day_slots AS smallint[]),
        CAST(:of_months AS date[]), CAST(:month_slots AS smallint[]), CAST(:lapse_ats AS timestamptz[]),
        CAST(:units AS text[]), CAST(:boosts AS text[]), CAST(:besides AS text[]),
        CAST(:campaigns AS text[])
    ) WITH ORDINALITY AS d (program_id, source_key, reference, rule_id, decision, program_version, points,
                            activity_at, due_at, expires_at, why, known, of_day, day_slot,
                            of_month, month_slot, lapses_at, unit, boost, beside,
                            campaign, number)
    ON d.number = a.of_group
), taken AS (
    {_INSERT}
    SELECT {_VALUES}
    FROM batch a
    WHERE a.with_id IS NULL
      AND (a.reference IS NULL OR a.known OR (
          SELECT c.id FROM stored_credits c
          WHERE c.account = a.account AND c.reference = a.reference
          LIMIT 1) IS NULL)
    ORDER BY a.account, a.source_key COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING account, id, points, unit
), besides AS (
    {_INSERT}
    SELECT {_VALUES}
    FROM batch a JOIN taken t ON t.id = a.with_id
    ORDER BY a.account, a.source_key COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING account, id, points, unit
), new AS MATERIALIZED (
    SELECT * FROM taken UNION ALL SELECT * FROM besides
), moved AS (
    INSERT INTO balances AS b (program_id, member_id, pending, version)
    SELECT k.program_id, k.member_id, s.points, 1
    FROM (
        SELECT account, coalesce(sum(points) FILTER (WHERE unit IS NULL), 0) AS points FROM new GROUP BY 1
    ) s
    CROSS JOIN LATERAL (
        SELECT program_id, member_id FROM balances k WHERE k.account = s.account OFFSET 0
    ) k
    ORDER BY 1, 2
    ON CONFLICT (program_id, member_id)
        -- A closed account takes nothing, status neither: it may not have more than 0.
        DO UPDATE SET pending = b.pending + excluded.pending + CAST(b.closed AS int), version = b.version + 1
    RETURNING account, program_id, member_id, active, pending, held, debt, version
), remembered AS (
    INSERT INTO outbox (id, written_at, cause, program_ids, member_ids)
    SELECT CAST(:outbox_id AS uuid), :written_at, CAST(:cause AS text),
           array_agg(program_id), array_agg(member_id)
    FROM moved HAVING count(*) > 0
), changed AS (
    INSERT INTO member_changes (id, at, program_id, member_ids)
    SELECT uuidv7(), {NOW}, program_id, array_agg(member_id)
    FROM moved WHERE program_id = ANY(CAST(:reacting AS text[])) GROUP BY program_id
)
SELECT n.id, m.program_id, m.member_id, m.active, m.pending, m.held, m.debt, m.version
FROM new n JOIN moved m USING (account)
""")  # noqa: S608  # Constants.
)


class CreditToAccept(msgspec.Struct, frozen=True):
    """A credit to accept, for a member. The caller makes the id (UUIDv7).

    `with_id` is the credit whose slot this one shares (`same_as`), or which it boosts: it is accepted only if
    that one is. `known`: other credits of the same activity were accepted before. `streak_seq`: of a day of a
    streak, its number among the events of the streak. `suspicion`: the credit is held for review.
    """

    program_id: str
    member_id: str
    id: UUID
    credit: NewCredit
    with_id: UUID | None = None
    known: bool = False
    streak_seq: int | None = None
    suspicion: Suspicion | None = None


_encode_why = msgspec.json.Encoder().encode


async def accept(
    conn: AsyncConnection,
    accepting: Sequence[CreditToAccept],
    outbox: OutboxRow,
    *,
    now: datetime,
    ahead: timedelta,
    reacting: Collection[str] = (),
    decision_of: Callable[[NewCredit], int | None] = lambda _: None,
) -> frozenset[UUID]:
    """Insert new credits as pending; the ids of those accepted. Fills the changes of `outbox`.

    They are accepted at `now`, but not later than the database's clock plus `ahead`. Of members of the
    programs `reacting` it is noted that their facts have changed. `decision_of` is the number of the stored
    decision that says why a credit is granted; None for one that says it itself.
    """
    first, groups = _grouped(accepting)
    credits = [a.credit for a in first]
    decisions = [decision_of(c) for c in credits]
    alone = [c if d is None else None for c, d in zip(credits, decisions, strict=True)]
    arrays: dict[str, list[Any]] = {
        "member_ids": [a.member_id for a in accepting],
        "ids": [a.id for a in accepting],
        "with_ids": [a.with_id for a in accepting],
        "streak_seqs": [a.streak_seq for a in accepting],
        "groups": groups,
        "program_ids": [a.program_id for a in first],
        "source_keys": [c.source_key for c in credits],
        "references": [c.reference for c in credits],
        "rule_ids": [c.rule_id for c in credits],
        "decisions": decisions,
        "versions": [None if c is None else c.why.version for c in alone],
        "points": [c.points for c in credits],
        "activity_ats": [c.activity_at for c in credits],
        "due_ats": [c.due_at for c in credits],
        "expires_ats": [c.expires_at for c in credits],
        "whys": [None if c is None else why_json(c.why) for c in alone],
        "known": [a.known for a in first],
        "lapse_ats": [c.lapses_at for c in credits],
        "units": [None if c.unit == POINTS else c.unit for c in credits],
        "boosts": [c.boost for c in credits],
        "besides": [c.beside for c in credits],
        "campaigns": [c.campaign for c in credits],
        **_window_arrays([c.windows for c in credits]),
    }
    others = {"now": now, "ahead": ahead, "reacting": list(reacting), **outbox.parameters}
    rows = await _ACCEPT.fetch(conn, _without_nulls(arrays) | others)
    ids: set[UUID] = set()
    changes: dict[MemberKey, BalanceChange] = {}
    for id_, program_id, member_id, active, pending, held, debt, version in rows:
        ids.add(id_)
        balance = Balance(active, pending, held, debt, version)
        changes[program_id, member_id] = BalanceChange(program_id, member_id, balance)
    outbox.changes = list(changes.values())
    return frozenset(ids)


def _grouped(accepting: Sequence[CreditToAccept]) -> tuple[list[CreditToAccept], list[int]]:
    """Group credits that were decided together: (the first of each group, the group of each credit, from 1).

    Those of a group differ only in the member and the id, so the statement gets their decision once.
    """
    numbers: dict[tuple[str, int, bool], int] = {}
    first: list[CreditToAccept] = []
    groups = []
    for credit in accepting:
        group = (credit.program_id, id(credit.credit), credit.known)
        number = numbers.get(group)
        if number is None:
            first.append(credit)
            number = numbers[group] = len(first)
        groups.append(number)
    return first, groups


def _window_arrays(places: Sequence[tuple[WindowPlace, ...]]) -> dict[str, list[Any]]:
    """The places that credits take in windows, an array for each column."""
    by_kind = [{place.kind: place for place in windows} for windows in places]
    days = [windows.get("day") for windows in by_kind]
    months = [windows.get("month") for windows in by_kind]
    return {
        "of_days": [place and place.first_day for place in days],
        "day_slots": [place and place.number for place in days],
        "of_months": [place and place.first_day for place in months],
        "month_slots": [place and place.number for place in months],
    }


def _without_nulls(arrays: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The same with empty arrays for those of nothing but nulls: `unnest` fills them up, and the driver has
    less to encode.
    """
    return {name: [] if values.count(None) == len(values) else values for name, values in arrays.items()}


def why_json(why: Why) -> str:
    return _encode_why(why).decode()
