"""Remember what a person has earned once in a life, when the account is erased and the person joins again.

The erasure keeps the keys of such slots under the keyed hash of the person's reference, and nothing else.
When a member joins with that reference, credits of no points take these slots, so nothing is earned in them
again.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.merged_slots import ClosingCredit
from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import MemberKey, is_once_in_a_life
from engage.schema.members import members
from engage.schema.rows import Batch

PersonKey = tuple[MemberKey, bytes]  # (member, hash of the person's reference)

_WHY = msgspec.json.encode({"trace": [step(TraceCode.EARNED_BEFORE)]}).decode()

_PERSONS = Batch("k", members, "program_id", "member_id", "person_hash")

_KEEP = text("""
INSERT INTO person_slots (program_id, person_hash, source_key, rule_id, program_version)
SELECT m.program_id, m.person_hash, c.source_key, c.rule_id, c.program_version
FROM members m
JOIN credits c ON c.program_id = m.program_id AND c.member_id = :owner AND c.id = ANY(CAST(:ids AS uuid[]))
WHERE m.program_id = :program_id AND m.member_id = ANY(CAST(:member_ids AS text[]))
  AND m.person_hash IS NOT NULL
ON CONFLICT DO NOTHING
""")

_TAKE = text(f"""
INSERT INTO stored_credits (account, id, source_key, rule_id, program_version, points, state, activity_at,
                            accepted_at, reversed_at, why)
SELECT b.account, uuidv7(), s.source_key, s.rule_id, s.program_version, 0, 'reversed', :now, :now, :now,
       CAST(:why AS jsonb)
FROM {_PERSONS}
JOIN person_slots s USING (program_id, person_hash)
JOIN balances b USING (program_id, member_id)
ORDER BY b.account, s.source_key COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING source_key
""")  # noqa: S608  # Names of the schema.


async def keep_person_slots(
    conn: AsyncConnection, owner: MemberKey, member_ids: Sequence[str], credits: Iterable[ClosingCredit]
) -> None:
    """Keep the slots of an account that pay once in a life, for the persons of these members. The account is
    the `owner`'s, and its credits and the members are locked.
    """
    once = [credit.id for credit in credits if is_once_in_a_life(credit.rule_id, credit.source_key)]
    values = {"program_id": owner[0], "owner": owner[1], "member_ids": list(member_ids), "ids": once}
    await conn.execute(_KEEP, values)


async def take_person_slots(
    conn: AsyncConnection, joining: Sequence[PersonKey], *, now: datetime
) -> frozenset[str]:
    """Take the slots that these persons used in earlier accounts. Returns their source keys, of all members.

    The members have been added in this transaction.
    """
    if not joining:
        return frozenset()
    rows = [(*key, hashed) for key, hashed in joining]
    taken = await conn.execute(_TAKE, _PERSONS.of(rows) | {"now": now, "why": _WHY})
    return frozenset(taken.scalars())
