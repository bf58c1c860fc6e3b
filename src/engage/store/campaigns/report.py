"""Figures of a campaign: its grants, and the activity of its audience and its holdout."""

from collections import Counter
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

# By hour and by country from one reading of the credits. A member has one country.
_GRANTS = text(f"""
WITH granted AS MATERIALIZED (
    SELECT g.member_id, m.country, g.activity_at, g.kept
    FROM ({_CREDITS}) g
    JOIN members m ON m.program_id = :program_id AND m.member_id = g.member_id
    WHERE g.kept > 0
)
(
    SELECT date_trunc('hour', activity_at, 'UTC'), NULL, sum(kept)::bigint, count(*), NULL::bigint
    FROM granted GROUP BY 1 ORDER BY 1 DESC LIMIT :most
)
UNION ALL
(
    SELECT NULL, country, sum(kept)::bigint, sum(credits)::bigint, count(*)
    FROM (SELECT country, sum(kept) AS kept, count(*) AS credits FROM granted GROUP BY country, member_id) g
    GROUP BY 2 ORDER BY 2
)
""")  # noqa: S608


def _share(purpose: str) -> str:
    """SQL for `engage.domain.campaigns.audience.share_of`, in hundredths of a percent."""
    name = f"'{purpose}:' || m.program_id || ':' || CAST(:campaign_id AS text) || ':' || m.member_id"
    digest = f"sha256(convert_to({name}, 'UTF8'))"
    return f"(('x' || left(encode({digest}, 'hex'), 8))::bit(32)::bigint % 10000)"


# Members as the campaign would find them at its beginning, or when they joined: by what no campaign changes.
_AUDIENCE = f"""
SELECT m.member_id, w.begins_at, w.ends_at, {_share("holdout")} < CAST(:holdout AS int) * 100 AS held_out
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
"""  # noqa: S608

# All of them, and those who were active: a join of whole tables, not a look at the credits of each member. An
# activity under one of the rules counts, boosted or not.
_OUTCOMES = text(f"""
SELECT a.held_out, count(*), 0 FROM ({_AUDIENCE}) a GROUP BY 1
UNION ALL
SELECT a.held_out, 0, count(*)
FROM ({_AUDIENCE}) a
WHERE EXISTS (
    SELECT FROM credits c
    WHERE c.program_id = :program_id AND c.member_id = a.member_id AND c.beside IS NULL
      AND c.rule_id = ANY(CAST(:rules AS text[]))
      AND c.activity_at >= a.begins_at AND c.activity_at < a.ends_at
)
GROUP BY 1
""")  # noqa: S608

# The planner's guess of how large an audience is is far too low, and a nested loop would take a minute. The
# memory is for one report at a time.
_JOIN_BY_HASH = text(
    "SELECT set_config('enable_nestloop', 'off', true), set_config('work_mem', '64MB', true)"
)


class CampaignWindow(Struct, frozen=True):
    """The times of a campaign for the members of a country, and when those whom it is for joined."""

    country: str
    begins_at: datetime
    ends_at: datetime
    joined_before: datetime | None = None
    joined_after: datetime | None = None


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


class Grants(Struct, frozen=True):
    """The grants of a campaign without what was taken back. `by_hour` has the last hours with grants, the
    oldest first.
    """

    by_hour: list[HourGrants]
    by_country: list[CountryGrants]

    @property
    def points(self) -> int:
        return sum(each.points for each in self.by_country)

    @property
    def credits(self) -> int:
        return sum(each.credits for each in self.by_country)

    @property
    def members(self) -> int:
        return sum(each.members for each in self.by_country)


class Outcome(Struct, frozen=True):
    """Members, of whom some did what the campaign is about during its time."""

    members: int
    active: int


async def read_grants(conn: AsyncConnection, key: CampaignKey, *, most: int) -> Grants:
    """Read what a campaign has granted, by country and in the last `most` hours that have some."""
    hours: list[HourGrants] = []
    countries: list[CountryGrants] = []
    for hour, country, points, credits, counted in await conn.execute(_GRANTS, _named(key) | {"most": most}):
        if country is None:
            hours.append(HourGrants(hour, points, credits))
        else:
            countries.append(CountryGrants(country, points, credits, counted))
    return Grants(hours[::-1], countries)


async def read_points(conn: AsyncConnection, keys: Sequence[CampaignKey]) -> dict[CampaignKey, int]:
    """Read the points that campaigns have granted; those that granted none are missing."""
    rows = await conn.execute(_POINTS, _KEYS.of(keys))
    return {(program_id, campaign_id): points for program_id, campaign_id, points in rows}


async def read_outcomes(
    conn: AsyncConnection,
    campaign: Campaign,
    windows: Sequence[CampaignWindow],
    *,
    rules: Sequence[str],
) -> tuple[Outcome, Outcome]:
    """Read what the audience and the holdout did: (the members who got the campaign, those held out).

    The last statement of its transaction, for which the planner is told how to join.
    """
    values = _named((campaign.program, campaign.id)) | _WINDOWS.of_structs(windows)
    values |= {
        "rules": list(rules),
        "holdout": campaign.holdout_percent,
        "percent": campaign.audience.percent,
        "segments": campaign.audience.segments,
    }
    await conn.execute(_JOIN_BY_HASH)
    members, active = Counter[bool](), Counter[bool]()
    for held_out, all_of_them, active_ones in await conn.execute(_OUTCOMES, values):
        members[held_out] += all_of_them
        active[held_out] += active_ones
    return Outcome(members[False], active[False]), Outcome(members[True], active[True])


def _named(key: CampaignKey) -> dict[str, Any]:
    return {"program_id": key[0], "campaign_id": key[1]}
