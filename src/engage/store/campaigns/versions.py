"""Versions of campaigns. One that was approved never changes."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, and_, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.campaigns import campaign_versions
from engage.schema.rows import columns, from_row

CampaignKey = tuple[str, str]  # (program, campaign)


class StoredVersion(Struct, frozen=True, kw_only=True):
    """A version, counted from 1. `revision` counts its changes; `authors` and `author_ids` are the names and
    the ids of those who made them.
    """

    program_id: str
    campaign_id: str
    version: int
    revision: int
    document: Mapping[str, Any]
    authors: Sequence[str]
    author_ids: Sequence[str]
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


async def read_versions(conn: AsyncConnection, key: CampaignKey) -> list[StoredVersion]:
    """Read the versions of a campaign in their order; none where there is no such campaign."""
    query = (
        select(*columns(campaign_versions, StoredVersion))
        .where(_of(key))
        .order_by(campaign_versions.c.version)
    )
    return [from_row(StoredVersion, row) for row in await conn.execute(query)]


async def read_with_parts(
    conn: AsyncConnection, program_id: str, fields: Sequence[str]
) -> list[StoredVersion]:
    """Read the versions of all campaigns of a program that have anything in one of these lists."""
    c = campaign_versions.c
    query = (
        select(*columns(campaign_versions, StoredVersion))
        .where(c.program_id == program_id, or_(*(c.document[field] != text("'[]'") for field in fields)))
        .order_by(c.campaign_id, c.version)
    )
    return [from_row(StoredVersion, row) for row in await conn.execute(query)]


async def read_outlines(conn: AsyncConnection, program_ids: Sequence[str]) -> list[StoredVersion]:
    """Read all versions of the campaigns of these programs, those of a campaign in their order. Their
    documents have no more than title, times and countries.
    """
    c = campaign_versions.c
    fields = ("id", "program", "title", "from", "until", "zone")
    # Without what a document of an earlier release does not have, which has a default.
    outline = func.jsonb_strip_nulls(
        func.jsonb_build_object(
            *(part for name in fields for part in (name, c.document[name])),
            "audience",
            func.jsonb_build_object("countries", c.document["audience"]["countries"]),
        )
    )
    read = [
        outline if column is c.document else column for column in columns(campaign_versions, StoredVersion)
    ]
    query = (
        select(*read).where(c.program_id.in_(program_ids)).order_by(c.program_id, c.campaign_id, c.version)
    )
    return [from_row(StoredVersion, row) for row in await conn.execute(query)]


async def read_of_program(
    conn: AsyncConnection, program_id: str, ids: Sequence[str] | None = None
) -> list[StoredVersion]:
    """Read the versions of a program's campaigns, or of those with these ids, each campaign's in order."""
    c = campaign_versions.c
    query = select(*columns(campaign_versions, StoredVersion)).where(c.program_id == program_id)
    if ids is not None:
        query = query.where(c.campaign_id.in_(ids))
    rows = await conn.execute(query.order_by(c.campaign_id, c.version))
    return [from_row(StoredVersion, row) for row in rows]


async def read_keys(conn: AsyncConnection) -> set[CampaignKey]:
    """The keys of all campaigns."""
    c = campaign_versions.c
    query = select(c.program_id, c.campaign_id).where(c.version == 1)
    return {(program_id, campaign_id) for program_id, campaign_id in await conn.execute(query)}


async def programs_with(conn: AsyncConnection, campaign_id: str) -> list[str]:
    """The programs that have a campaign of this id."""
    c = campaign_versions.c
    query = select(c.program_id).where(c.campaign_id == campaign_id, c.version == 1).order_by(c.program_id)
    return list((await conn.execute(query)).scalars())


async def lock(conn: AsyncConnection, key: CampaignKey) -> None:
    """Lock a campaign until the transaction ends: its first version stands for all of it."""
    first = and_(_of(key), campaign_versions.c.version == 1)
    await conn.execute(select(campaign_versions.c.version).where(first).with_for_update())


async def add(conn: AsyncConnection, version: StoredVersion) -> bool:
    """Add a version; False where the campaign has one of this number."""
    added = insert(campaign_versions).values(msgspec.structs.asdict(version)).on_conflict_do_nothing()
    return (await conn.execute(added)).rowcount == 1


async def change(conn: AsyncConnection, version: StoredVersion) -> None:
    """Replace a version that was not approved, or approve it."""
    which = and_(_of(version.key), campaign_versions.c.version == version.version)
    await conn.execute(update(campaign_versions).where(which).values(msgspec.structs.asdict(version)))


def _of(key: CampaignKey) -> ColumnElement[bool]:
    return and_(campaign_versions.c.program_id == key[0], campaign_versions.c.campaign_id == key[1])
