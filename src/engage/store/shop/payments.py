"""The last payments of members before an instant, for many members in one statement."""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement


class PaymentsBefore(Struct, frozen=True):
    """The payments of a member's orders before an instant."""

    program_id: str
    member_id: str
    at: datetime


_READ = DirectStatement(
    text("""
SELECT k.n, o.paid_at
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:instants AS timestamptz[])
) WITH ORDINALITY AS k (program_id, member_id, at, n)
CROSS JOIN LATERAL (
    SELECT max(o.paid_at) AS paid_at FROM orders o
    WHERE o.program_id = k.program_id AND o.member_id = k.member_id AND o.paid_at < k.at
    OFFSET 0
) o
WHERE o.paid_at IS NOT NULL
""")
)


async def read_last_payments(
    conn: AsyncConnection, asked: Collection[PaymentsBefore]
) -> dict[PaymentsBefore, datetime]:
    """Read the newest of these payments each; none where there are none."""
    wanted = list(asked)
    if not wanted:
        return {}
    rows = await _READ.fetch(
        conn,
        {
            "program_ids": [each.program_id for each in wanted],
            "member_ids": [each.member_id for each in wanted],
            "instants": [each.at for each in wanted],
        },
    )
    return {wanted[n - 1]: paid_at for n, paid_at in rows}
