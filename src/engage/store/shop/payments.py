"""The last payments of members before an instant, for many members in one statement."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from engage.store.members.joined_ids import joined, rows_of


class PaidBefore(NamedTuple):
    """The payments of a program's orders before an instant."""

    program_id: str
    at: datetime


# Of each member the newest of these, where there is one.
LAST_PAYMENTS: Final = f"""
SELECT b.n, b.member_id, o.paid_at
FROM (
    SELECT k.n, k.member_id, (CAST(:payment_programs AS text[]))[k.n] AS program_id,
           (CAST(:paid_before AS timestamptz[]))[k.n] AS at
    FROM {rows_of("payers", "numbers_of_payers")}
) b
CROSS JOIN LATERAL (
    SELECT max(o.paid_at) AS paid_at FROM orders o
    WHERE o.program_id = b.program_id AND o.member_id = b.member_id AND o.paid_at < b.at
    OFFSET 0
) o
WHERE o.paid_at IS NOT NULL
"""  # noqa: S608  # Constants.


def parameters(asked: Mapping[PaidBefore, Collection[str]]) -> dict[str, Any]:
    """The parameters of LAST_PAYMENTS."""
    members, numbers = joined(asked)
    return {
        "payment_programs": [each.program_id for each in asked],
        "paid_before": [each.at for each in asked],
        "payers": members,
        "numbers_of_payers": numbers,
    }
