"""Accept credits: many at once, in one statement, each exactly once.

The unique source key decides; a key that is taken is not an error, it is an answer. The pending balance of
each member moves in the same statement, so whoever sees the credit sees the balance.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.domain.accounts.balance import Balance
from engage.domain.earning.credit import NewCredit, Why
from engage.ledger.balances import BalanceChange, OutboxRow

# One statement, one round trip: insert, then project, then remember to tell.
# Everything is taken in key order, credits before balances, as every writer of the ledger does; so
# writers wait for each other and never in a circle.
#
# Two things no unique key can say. An activity that is known by its reference earns nothing more, under
# whichever rule it comes. And a run of days does not begin where the day before is there, in the same zone:
# whoever thinks so asked a gate that had lost that day, and would take the member's run away. Both are looked
# up row by row, through an index: an EXISTS could be planned as one scan of all credits.
_ACCEPT = DirectStatement(
    text("""
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(
        CAST(:member_ids AS text[]), CAST(:ids AS uuid[]), CAST(:with_ids AS uuid[]),
        CAST(:decisions AS int[])
    ) AS a (member_id, id, with_id, number)
    JOIN unnest(
        CAST(:program_ids AS text[]), CAST(:source_keys AS text[]), CAST(:references AS text[]),
        CAST(:rule_ids AS text[]), CAST(:versions AS text[]), CAST(:points AS bigint[]),
        CAST(:activity_ats AS timestamptz[]), CAST(:due_ats AS timestamptz[]),
        CAST(:expires_ats AS timestamptz[]), CAST(:whys AS jsonb[]), CAST(:known AS bool[]),
        CAST(:days_before AS text[])
    ) WITH ORDINALITY AS d (program_id, source_key, reference, rule_id, program_version, points,
                            activity_at, due_at, expires_at, why, known, day_before, number)
    USING (number)
), taken AS (
    INSERT INTO credits (program_id, member_id, id, source_key, reference, rule_id, program_version, points,
                         state, activity_at, accepted_at, due_at, expires_at, why)
    SELECT a.program_id, a.member_id, a.id, a.source_key, a.reference, a.rule_id, a.program_version, a.points,
           'pending', a.activity_at, :now, a.due_at, a.expires_at, a.why
    FROM asked a
    WHERE a.with_id IS NULL
      AND (a.reference IS NULL OR a.known OR (
          SELECT c.id FROM credits c
          WHERE c.program_id = a.program_id AND c.member_id = a.member_id AND c.reference = a.reference
          LIMIT 1) IS NULL)
      AND (a.day_before IS NULL OR (
          SELECT c.id FROM credits c
          WHERE c.program_id = a.program_id AND c.member_id = a.member_id
            AND c.source_key >= a.day_before AND c.source_key < a.rule_id || ';'
            AND c.why -> 'inputs' ->> 'zone' = a.why -> 'inputs' ->> 'zone'
          LIMIT 1) IS NULL)
    ORDER BY a.program_id COLLATE "C", a.member_id COLLATE "C", a.source_key COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING program_id, member_id, id, points
), besides AS (
    INSERT INTO credits (program_id, member_id, id, source_key, reference, rule_id, program_version, points,
                         state, activity_at, accepted_at, due_at, expires_at, why)
    SELECT a.program_id, a.member_id, a.id, a.source_key, a.reference, a.rule_id, a.program_version, a.points,
           'pending', a.activity_at, :now, a.due_at, a.expires_at, a.why
    FROM asked a JOIN taken t ON t.id = a.with_id
    ORDER BY a.program_id COLLATE "C", a.member_id COLLATE "C", a.source_key COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING program_id, member_id, id, points
), new AS (
    SELECT * FROM taken UNION ALL SELECT * FROM besides
), moved AS (
    INSERT INTO balances AS b (program_id, member_id, pending, version)
    SELECT program_id, member_id, sum(points), 1 FROM new GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (program_id, member_id)
        DO UPDATE SET pending = b.pending + excluded.pending, version = b.version + 1
    RETURNING program_id, member_id, active, pending, held, debt, version
), remembered AS (
    INSERT INTO outbox (id, created_at, cause, program_ids, member_ids)
    SELECT CAST(:outbox_id AS uuid), :written_at, CAST(:cause AS text),
           array_agg(program_id), array_agg(member_id)
    FROM moved HAVING count(*) > 0
)
SELECT n.id, n.program_id, n.member_id, m.active, m.pending, m.held, m.debt, m.version
FROM new n JOIN moved m USING (program_id, member_id)
""")
)


class CreditToAccept(msgspec.Struct, frozen=True):
    """A credit to accept, for a member. The id is made by the caller (UUIDv7).

    `with_id` is the credit whose slot this one shares (`same_as`): it is taken when that one is. `known`:
    other credits of the same activity have been taken before. `day_before` is given where a run of days
    begins: the source key that it would go on from.
    """

    program_id: str
    member_id: str
    id: UUID
    credit: NewCredit
    with_id: UUID | None = None
    known: bool = False
    day_before: str | None = None


_encode_why = msgspec.json.Encoder().encode


async def accept(
    conn: AsyncConnection, accepting: Sequence[CreditToAccept], outbox: OutboxRow, *, now: datetime
) -> frozenset[UUID]:
    """Inserts what is new as pending credits; the ids of those that were. Fills the changes of `outbox`."""
    told, decisions = _decisions(accepting)
    credits = [a.credit for a in told]
    rows = await _ACCEPT.fetch(
        conn,
        {
            "member_ids": [a.member_id for a in accepting],
            "ids": [a.id for a in accepting],
            "with_ids": [a.with_id for a in accepting],
            "decisions": decisions,
            "program_ids": [a.program_id for a in told],
            "source_keys": [c.source_key for c in credits],
            "references": [c.reference for c in credits],
            "rule_ids": [c.rule_id for c in credits],
            "versions": [c.why.version for c in credits],
            "points": [c.points for c in credits],
            "activity_ats": [c.activity_at for c in credits],
            "due_ats": [c.due_at for c in credits],
            "expires_ats": [c.expires_at for c in credits],
            "whys": [why_json(c.why) for c in credits],
            "known": [a.known for a in told],
            "days_before": [a.day_before for a in told],
            "now": now,
            "outbox_id": outbox.id,
            "written_at": outbox.written_at,
            "cause": outbox.cause,
        },
    )
    ids: set[UUID] = set()
    changes: dict[tuple[str, str], BalanceChange] = {}
    for id_, program_id, member_id, active, pending, held, debt, version in rows:
        ids.add(id_)
        balance = Balance(active, pending, held, debt, version)
        changes[program_id, member_id] = BalanceChange(program_id, member_id, balance)
    outbox.changes = list(changes.values())
    return frozenset(ids)


def _decisions(accepting: Sequence[CreditToAccept]) -> tuple[list[CreditToAccept], list[int]]:
    """(one of each decision, the number from 1 of each credit's). Credits that were decided together differ
    only in the member and the id, and what they have in common is told once.
    """
    numbers: dict[tuple[str, int, bool, str | None], int] = {}
    told: list[CreditToAccept] = []
    decisions = []
    for one in accepting:
        decision = (one.program_id, id(one.credit), one.known, one.day_before)
        number = numbers.get(decision)
        if number is None:
            told.append(one)
            number = numbers[decision] = len(told)
        decisions.append(number)
    return told, decisions


def why_json(why: Why) -> str:
    return _encode_why(why).decode()
