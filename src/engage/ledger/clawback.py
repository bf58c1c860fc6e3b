"""Taking earned points back because what earned them was removed, before or after they became active.

A removal may overtake its activity. It then leaves a credit of 0 points that holds the reference, so the
activity finds its place taken when it comes.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.trace import TraceCode, step
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.corrections import Correction, lock_credits, reduce_to, write_corrections


class Removal(msgspec.Struct, frozen=True):
    """An activity, by its reference, that earns nothing any more under any of these rules."""

    program_id: str
    member_id: str
    reference: str
    rule_ids: tuple[str, ...]
    program_version: str
    at: datetime


_WHY = msgspec.json.encode({"trace": [step(TraceCode.REMOVED_BEFORE)]}).decode()

# Either this or the activity's own insert gets the unique reference; the other one sees it.
_FORESTALL = text("""
INSERT INTO credits (program_id, member_id, id, source_key, reference, rule_id, program_version, points,
                     state, activity_at, accepted_at, reversed_at, why)
SELECT a.program_id, a.member_id, uuidv7(), 'removed:' || a.reference || ':' || a.rule_id, a.reference,
       a.rule_id, a.program_version, 0, 'reversed', a.at, :now, :now, CAST(:why AS jsonb)
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:references AS text[]),
    CAST(:rule_ids AS text[]), CAST(:versions AS text[]), CAST(:ats AS timestamptz[])
) AS a (program_id, member_id, reference, rule_id, program_version, at)
ORDER BY a.program_id COLLATE "C", a.member_id COLLATE "C", a.reference COLLATE "C", a.rule_id
ON CONFLICT DO NOTHING
""")


async def claw_back(conn: AsyncConnection, removals: Sequence[Removal], *, now: datetime) -> Accounts:
    """Reverses the credits of these activities, each once: from their own lots first, then from the oldest,
    and what is spent is owed. Returns the accounts, for the caller to post.
    """
    # Told of twice at once, an activity is still taken back once.
    removals = list({(r.program_id, r.member_id, r.reference): r for r in reversed(removals)}.values())
    each_rule = [(removal, rule_id) for removal in removals for rule_id in removal.rule_ids]
    await conn.execute(
        _FORESTALL,
        {
            "program_ids": [r.program_id for r, _ in each_rule],
            "member_ids": [r.member_id for r, _ in each_rule],
            "references": [r.reference for r, _ in each_rule],
            "rule_ids": [rule_id for _, rule_id in each_rule],
            "versions": [r.program_version for r, _ in each_rule],
            "ats": [r.at for r, _ in each_rule],
            "now": now,
            "why": _WHY,
        },
    )
    credits = await lock_credits(conn, [(r.program_id, r.member_id, r.reference) for r in removals])
    if not credits:
        return Accounts({}, {})
    accounts = await open_accounts(
        conn, [credit.key for credit in credits], now=now, credit_ids=[credit.id for credit in credits]
    )
    corrections = []
    for credit in credits:
        reference = f"removed:{credit.reference}"
        after = reduce_to(accounts.by_key[credit.key], credit, 0, at=now, reference=reference)
        corrections.append(Correction(credit, after, reference))
    await write_corrections(conn, corrections, now=now)
    return accounts
