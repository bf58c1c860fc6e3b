"""Clawbacks: earned points are taken back because the activity was removed, before or after they became
active.

A removal may come before its activity. It then leaves a credit of 0 points, which holds the reference, so the
activity earns nothing when it comes.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import removal_key, removal_reference
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.corrections import (
    Correction,
    lock_credits,
    read_again,
    reduce_to,
    write_corrections,
)
from engage.schema.credits import credits as table
from engage.schema.rows import Batch


class Removal(msgspec.Struct, frozen=True):
    """The removal of an activity, by its reference: it earns nothing under any of these rules."""

    program_id: str
    member_id: str
    reference: str
    rule_ids: tuple[str, ...]
    program_version: str
    at: datetime


_WHY = msgspec.json.encode({"trace": [step(TraceCode.REMOVED_BEFORE)]}).decode()

_TRACES = Batch(
    "a",
    table,
    "program_id",
    "member_id",
    "source_key",
    "reference",
    "rule_id",
    "program_version",
    "activity_at",
)

# Of this insert and the activity's own, one gets the unique reference, and the other one sees it.
_ADD_TRACES = text(f"""
INSERT INTO stored_credits (account, id, source_key, reference, rule_id, program_version, activity_at, points,
                            state, accepted_at, reversed_at, why)
SELECT b.account, uuidv7(), a.source_key, a.reference, a.rule_id, a.program_version, a.activity_at, 0,
       'reversed', :now, :now, CAST(:why AS jsonb)
FROM {_TRACES} JOIN balances b USING (program_id, member_id)
ORDER BY b.account, a.reference COLLATE "C", a.rule_id
ON CONFLICT DO NOTHING
""")  # noqa: S608  # Names of the schema.


async def claw_back(conn: AsyncConnection, removals: Sequence[Removal], *, now: datetime) -> Accounts:
    """Reverse the credits of removed activities, each once.

    Points come from the credit's own lot first, then from the oldest lots; what is spent becomes debt.
    Returns the accounts, for the caller to post.
    """
    # An activity that is removed twice in one batch is taken back once.
    removals = list({(r.program_id, r.member_id, r.reference): r for r in reversed(removals)}.values())
    traces = [
        (
            r.program_id,
            r.member_id,
            removal_key(r.reference, rule_id),
            r.reference,
            rule_id,
            r.program_version,
            r.at,
        )
        for r in removals
        for rule_id in r.rule_ids
    ]
    await conn.execute(_ADD_TRACES, _TRACES.of(traces) | {"now": now, "why": _WHY})
    credits = await lock_credits(conn, [(r.program_id, r.member_id, r.reference) for r in removals])
    if not credits:
        return Accounts({}, {})
    accounts = await open_accounts(
        conn, [credit.key for credit in credits], now=now, credit_ids=[credit.id for credit in credits]
    )
    corrections = []
    for credit in await read_again(conn, credits):
        reference = removal_reference(credit.reference)
        after = reduce_to(accounts.by_key[credit.key], credit, 0, at=now, reference=reference)
        corrections.append(Correction(credit, after, reference))
    await write_corrections(conn, corrections, now=now)
    return accounts
