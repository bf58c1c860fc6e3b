"""Figures of a campaign: its grants, and the activity of its audience and its holdout."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.definition import Campaign
from engage.schema.credits import credits as credits_table
from engage.schema.members import members
from engage.schema.rows import Batch
from engage.store.campaigns.budgets import KEPT
from engage.store.campaigns.versions import CampaignKey

_KEYS = Batch("k", credits_table, "program_id", "campaign")
_WINDOWS = Batch(
    "w",
    members,
    "country",
    begins_at="timestamptz",
    ends_at="timestamptz",
    joined_before="timestamptz",
    joined_after="timestamptz",
)

# A merger copies credits under their ids, and reverses those that it copied: each counts once.
_CREDITS = f"""
SELECT DISTINCT ON (c.id) c.id, c.member_id, c.activity_at, {KEPT} AS kept
FROM credits c
WHERE c.program_id = :program_id AND c.campaign = :campaign_id AND c.unit = 'points'
ORDER BY c.id, {KEPT} DESC
"""  # noqa: S608  # Names of the schema, here and below.

_TOTALS = text(f"""
SELECT coalesce(sum(kept), 0)::bigint, count(*) FILTER (WHERE kept > 0),
       count(DISTINCT member_id) FILTER (WHERE kept > 0)
FROM ({_CREDITS}) g
""")  # noqa: S608

_POINTS = text(f"""
SELECT g.program_id, g.campaign, sum(g.kept)::bigint
FROM (
    SELECT DISTINCT ON (c.program_id, c.campaign, c.id) c.program_id, c.campaign, {KEPT} AS kept
    FROM {_KEYS} JOIN credits c USING (program_id, campaign)
    WHERE c.unit = 'points'
    ORDER BY c.program_id, c.campaign, c.id, {KEPT} DESC
) g
GROUP BY 1, 2
""")  # noqa: S608

_BY_HOUR = text(f"""
SELECT date_trunc('hour', activity_at, 'UTC') AS hour, sum(kept)::bigint, count(*)
FROM ({_CREDITS}) g WHERE kept > 0 GROUP BY 1 ORDER BY 1 DESC LIMIT :most
""")  # noqa: S608

_BY_COUNTRY = text(f"""
SELECT m.country, sum(g.kept)::bigint, count(*), count(DISTINCT g.member_id)
FROM ({_CREDITS}) g
JOIN members m ON m.program_id = :program_id AND m.member_id = g.member_id
WHERE g.kept > 0 GROUP BY 1 ORDER BY 1
""")  # noqa: S608


def _share(purpose: str) -> str:
    """SQL for `engage.domain.campaigns.audience.share_of`, in hundredths of a percent."""
    name = f"'{purpose}:' || m.program_id || ':' || CAST(:campaign_id AS text) || ':' || m.member_id"
    digest = f"sha256(convert_to({name}, 'UTF8'))"
    return f"(('x' || left(encode({digest}, 'hex'), 8))::bit(32)::bigint % 10000)"


# Members as the campaign would find them at its beginning, or when they joined: by what no campaign changes.
# An activity under one of the rules counts, boosted or not.
_OUTCOMES = text(f"""
SELECT a.held_out, count(*), count(*) FILTER (WHERE EXISTS (
    SELECT FROM credits c
    WHERE c.program_id = :program_id AND c.member_id = a.member_id AND c.beside IS NULL
      AND c.rule_id = ANY(CAST(:rules AS text[]))
      AND c.activity_at >= a.begins_at AND c.activity_at < a.ends_at
))
FROM (
    SELECT m.member_id, w.begins_at, w.ends_at,
           {_share("holdout")} < CAST(:holdout AS int) * 100 AS held_out
    FROM members m JOIN {_WINDOWS} USING (country)
    WHERE m.program_id = :program_id AND m.merged_into IS NULL AND m.erased_at IS NULL
      AND m.joined_at < w.ends_at
      AND (w.joined_before IS NULL OR m.joined_at < w.joined_before)
      AND (w.joined_after IS NULL OR m.joined_at >= w.joined_after)
      AND (CAST(:percent AS int) IS NULL OR {_share("percent")} < :percent * 100)
      AND (CAST(:segments AS text[]) IS NULL OR EXISTS (
          SELECT FROM segment_members s
          WHERE s.program_id = m.program_id AND s.member_id = m.member_id
            AND s.segment_id = ANY(CAST(:segments AS text[]))
            AND s.since <= w.begins_at AND (s.until IS NULL OR s.until > w.begins_at)
      ))
    OFFSET 0
) a
GROUP BY 1
""")  # noqa: S608


class CampaignWindow(Struct, frozen=True):
    """The times of a campaign for the members of a country, and when those whom it is for joined."""

    country: str
    begins_at: datetime
    ends_at: datetime
    joined_before: datetime | None = None
    joined_after: datetime | None = None


class Totals(Struct, frozen=True):
    """The points, credits and members of a campaign, without what was taken back."""

    points: int
    credits: int
    members: int


class HourGrants(Struct, frozen=True):
    """The grants for activities of an hour of UTC, which begins at `hour`."""

    hour: datetime
    points: int
    credits: int


class CountryGrants(Struct, frozen=True):
    """The grants to members of a country."""

    country: str
    points: int
    credits: int
    members: int


class Outcome(Struct, frozen=True):
    """Members, of whom some did what the campaign is about during its time."""

    members: int
    active: int


async def read_totals(conn: AsyncConnection, key: CampaignKey) -> Totals:
    """Read what a campaign has granted."""
    return Totals(*(await conn.execute(_TOTALS, _named(key))).one())


async def read_points(conn: AsyncConnection, keys: Sequence[CampaignKey]) -> dict[CampaignKey, int]:
    """Read the points that campaigns have granted; those that granted none are missing."""
    rows = await conn.execute(_POINTS, _KEYS.of(keys))
    return {(program_id, campaign_id): points for program_id, campaign_id, points in rows}


async def read_hours(conn: AsyncConnection, key: CampaignKey, *, most: int) -> list[HourGrants]:
    """Read the grants by hour, the last `most` hours that have some, oldest first."""
    rows = await conn.execute(_BY_HOUR, _named(key) | {"most": most})
    return [HourGrants(*row) for row in rows][::-1]


async def read_countries(conn: AsyncConnection, key: CampaignKey) -> list[CountryGrants]:
    """Read the grants by country."""
    return [CountryGrants(*row) for row in await conn.execute(_BY_COUNTRY, _named(key))]


async def read_outcomes(
    conn: AsyncConnection,
    campaign: Campaign,
    windows: Sequence[CampaignWindow],
    *,
    rules: Sequence[str],
) -> tuple[Outcome, Outcome]:
    """Read what the audience and the holdout did: (the members who got the campaign, those held out)."""
    values = _named((campaign.program, campaign.id)) | _WINDOWS.of_structs(windows)
    values |= {
        "rules": list(rules),
        "holdout": campaign.holdout_percent,
        "percent": campaign.audience.percent,
        "segments": campaign.audience.segments,
    }
    found = {row[0]: Outcome(row[1], row[2]) for row in await conn.execute(_OUTCOMES, values)}
    nobody = Outcome(0, 0)
    return found.get(False, nobody), found.get(True, nobody)


def _named(key: CampaignKey) -> dict[str, Any]:
    return {"program_id": key[0], "campaign_id": key[1]}
