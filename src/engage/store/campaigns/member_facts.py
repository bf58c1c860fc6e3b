"""The facts of members that have to be read to decide what boosts a credit: all of them in one statement."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.domain.keys import MemberKey
from engage.store.segments import members as segment_members
from engage.store.segments.members import STAYS, ListAt
from engage.store.shop import payments as last_payments
from engage.store.shop.payments import LAST_PAYMENTS, PaidBefore
from engage.store.tiers import known_levels
from engage.store.tiers.known_levels import KNOWN_LEVELS
from engage.store.tiers.levels import StoredTier

# Levels that are not known are NULL, and left out below: a condition here would evaluate them twice.
_READ = DirectStatement(
    text(f"""
SELECT CAST(NULL AS bigint) AS n, l.program_id, l.member_id, l.levels, CAST(NULL AS timestamptz) AS paid_at
FROM ({KNOWN_LEVELS}) l
UNION ALL
SELECT p.n, NULL, p.member_id, NULL, p.paid_at FROM ({LAST_PAYMENTS}) p
UNION ALL
SELECT s.n, NULL, s.member_id, NULL, NULL FROM ({STAYS}) s
""")  # noqa: S608  # Constants.
)


class MemberFacts(Struct, frozen=True):
    """The stored levels of those members of whom they are known, none of those of whom no facts are; the
    newest payments of members who have some; and the members who are in lists.
    """

    levels: Mapping[MemberKey, Sequence[StoredTier]] = field(default_factory=dict)
    payments: Mapping[PaidBefore, Mapping[str, datetime]] = field(default_factory=dict)
    stays: Mapping[ListAt, Collection[str]] = field(default_factory=dict)


async def read_member_facts(
    conn: AsyncConnection,
    *,
    levels_of: Collection[MemberKey],
    payments: Mapping[PaidBefore, Collection[str]],
    stays: Mapping[ListAt, Collection[str]],
) -> MemberFacts:
    """Read these facts; nothing where none is asked for."""
    if not levels_of and not payments and not stays:
        return MemberFacts()
    values = {
        **known_levels.parameters(levels_of),
        **last_payments.parameters(payments),
        **segment_members.parameters(stays),
    }
    levels: dict[MemberKey, Sequence[StoredTier]] = {}
    paid: list[dict[str, datetime]] = [{} for _ in payments]
    staying: list[set[str]] = [set() for _ in stays]
    for n, program_id, member_id, stored, paid_at in await _READ.fetch(conn, values):
        if n is None:
            if stored is not None:
                levels[program_id, member_id] = known_levels.decode(stored)
        elif paid_at is None:
            staying[n - 1].add(member_id)
        else:
            paid[n - 1][member_id] = paid_at
    return MemberFacts(levels, dict(zip(payments, paid, strict=True)), dict(zip(stays, staying, strict=True)))
