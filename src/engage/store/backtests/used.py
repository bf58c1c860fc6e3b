"""Points that campaigns had granted before a window, less what was taken back."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.backtests.budget import UsedByMember
from engage.store.campaigns.versions import CampaignKey

_USED = """
SELECT {columns} FROM credits c
WHERE c.program_id = :program_id AND c.campaign = :campaign_id AND c.activity_at < :before
  AND c.state <> 'reversed' {condition}
"""

_TOTAL = text(_USED.format(columns="coalesce(sum(c.points - c.taken_back), 0), count(*)", condition=""))
_OF_MEMBERS = text(
    _USED.format(
        columns="c.member_id, sum(c.points - c.taken_back), count(*)",
        condition="AND c.member_id = ANY(CAST(:member_ids AS text[])) GROUP BY c.member_id",
    )
)


async def read_used(conn: AsyncConnection, key: CampaignKey, *, before: datetime) -> tuple[int, int]:
    """Read the points and the number of credits that a campaign had granted for activities before a time."""
    values = {"program_id": key[0], "campaign_id": key[1], "before": before}
    points, count = (await conn.execute(_TOTAL, values)).one()
    return int(points), int(count)


async def read_used_by(
    conn: AsyncConnection, key: CampaignKey, member_ids: Sequence[str], *, before: datetime
) -> dict[str, UsedByMember]:
    """Read the points and credits that members had of a campaign for activities before a time."""
    values = {
        "program_id": key[0],
        "campaign_id": key[1],
        "before": before,
        "member_ids": list(member_ids),
    }
    rows = await conn.execute(_OF_MEMBERS, values)
    return {member_id: UsedByMember(int(points), count) for member_id, points, count in rows}
