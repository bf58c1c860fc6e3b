"""Versions of campaigns. One that was approved never changes."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.campaigns import campaign_versions
from engage.schema.rows import columns, from_row

CampaignKey = tuple[str, str]  # (program, campaign)


class StoredVersion(Struct, frozen=True):
    """A version, counted from 1. `revision` counts its changes; `authors` made them."""

    program_id: str
    campaign_id: str
    version: int
    revision: int
    document: Mapping[str, Any]
    authors: Sequence[str]
    approved: bool

    @property
    def key(self) -> CampaignKey:
        return self.program_id, self.campaign_id


async def read_approved(conn: AsyncConnection) -> list[StoredVersion]:
    """Read all approved versions, those of a campaign in their order."""
    c = campaign_versions.c
    query = (
        select(*columns(campaign_versions, StoredVersion))
        .where(c.approved)
        .order_by(c.program_id, c.campaign_id, c.version)
    )
    return [from_row(StoredVersion, row) for row in await conn.execute(query)]
