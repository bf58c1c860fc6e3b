"""The actions of operators on campaigns, in order. They are added and never changed."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, func, insert, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.lifecycle import Action
from engage.schema.campaigns import campaign_actions
from engage.schema.rows import columns, from_row
from engage.schema.segments import segment_versions
from engage.store.campaigns.versions import CampaignKey


async def count_changes(conn: AsyncConnection) -> tuple[int, int]:
    """Count the actions on all campaigns, and the versions of all segments.

    One table a statement: this is asked all the time, and whoever locks tables one after the other to change
    the schema must not wait for it in a circle.
    """
    counts = [
        (await conn.execute(select(func.count()).select_from(table))).scalar_one()
        for table in (campaign_actions, segment_versions)
    ]
    return counts[0], counts[1]


async def read_all(conn: AsyncConnection) -> dict[CampaignKey, list[Action]]:
    """Read all actions by campaign, each campaign's in their order."""
    return await _read(conn, true())


async def read_of_programs(
    conn: AsyncConnection, program_ids: Sequence[str]
) -> dict[CampaignKey, list[Action]]:
    """The same of some programs."""
    return await _read(conn, campaign_actions.c.program_id.in_(program_ids))


async def _read(conn: AsyncConnection, which: ColumnElement[bool]) -> dict[CampaignKey, list[Action]]:
    c = campaign_actions.c
    query = (
        select(c.program_id, c.campaign_id, *columns(campaign_actions, Action))
        .where(which)
        .order_by(c.program_id, c.campaign_id, c.number)
    )
    found: dict[CampaignKey, list[Action]] = {}
    for program_id, campaign_id, *action in await conn.execute(query):
        found.setdefault((program_id, campaign_id), []).append(from_row(Action, action))
    return found


async def read_of_program(
    conn: AsyncConnection, program_id: str, ids: Sequence[str] | None = None
) -> dict[str, list[Action]]:
    """Read the actions on a program's campaigns, or on those with these ids, by campaign in their order."""
    c = campaign_actions.c
    query = select(c.campaign_id, *columns(campaign_actions, Action)).where(c.program_id == program_id)
    if ids is not None:
        query = query.where(c.campaign_id.in_(ids))
    found: dict[str, list[Action]] = {}
    for campaign_id, *action in await conn.execute(query.order_by(c.campaign_id, c.number)):
        found.setdefault(campaign_id, []).append(from_row(Action, action))
    return found


async def read_actions(conn: AsyncConnection, key: CampaignKey) -> list[Action]:
    """Read the actions on a campaign in their order."""
    c = campaign_actions.c
    query = (
        select(*columns(campaign_actions, Action))
        .where(c.program_id == key[0], c.campaign_id == key[1])
        .order_by(c.number)
    )
    return [from_row(Action, row) for row in await conn.execute(query)]


async def add(conn: AsyncConnection, key: CampaignKey, action: Action) -> None:
    row = {"program_id": key[0], "campaign_id": key[1]} | msgspec.structs.asdict(action)
    await conn.execute(insert(campaign_actions).values(row))
