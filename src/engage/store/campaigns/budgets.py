"""Budgets in PostgreSQL: taking from them, giving back to them, their totals and alerts.

Whoever takes holds a slice until the end of the transaction. At first a slice that has enough and that nobody
holds is taken, without waiting. Only where there is none, all slices are locked in their order.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.budget import Left, spread
from engage.domain.campaigns.definition import Budget
from engage.domain.keys import MemberKey
from engage.schema.budgets import (
    campaign_alerts,
    campaign_budget_returns,
    campaign_budget_slices,
    campaign_budgets,
)
from engage.schema.members import members
from engage.schema.rows import Batch
from engage.store.campaigns.versions import CampaignKey

_WANTED = Batch("w", campaign_budget_slices, "program_id", "campaign_id", points="bigint", count="bigint")
_KEYS = Batch("k", campaign_budget_slices, "program_id", "campaign_id")
_SLICES = Batch(
    "u", campaign_budget_slices, "program_id", "campaign_id", "slice", "points_left", "count_left"
)
_RETURNS = Batch("r", campaign_budget_returns, "program_id", "campaign_id", "points", "count")
_PERCENTS = Batch("p", campaign_alerts, "program_id", "campaign_id", "percent")
_MEMBERS = Batch("m", members, "program_id", "member_id", campaign="text")

# A credit's points that its campaign has granted and not taken back. Points that expired stay granted.
KEPT = """CASE WHEN c.state = 'reversed' AND c.active_at IS NULL THEN 0 ELSE c.points - c.taken_back END"""

_TAKE = text(f"""
UPDATE campaign_budget_slices s
SET points_left = s.points_left - f.points, count_left = s.count_left - f.count
FROM (
    SELECT w.*, found.slice FROM {_WANTED} CROSS JOIN LATERAL (
        SELECT t.slice FROM campaign_budget_slices t
        WHERE t.program_id = w.program_id AND t.campaign_id = w.campaign_id
          AND (t.points_left IS NULL OR t.points_left >= w.points)
          AND (t.count_left IS NULL OR t.count_left >= w.count)
        ORDER BY (t.slice + CAST(:first AS int)) % 16
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ) found
    OFFSET 0
) f
WHERE s.program_id = f.program_id AND s.campaign_id = f.campaign_id AND s.slice = f.slice
RETURNING s.program_id, s.campaign_id
""")  # noqa: S608  # Names of the schema, here and below.

_LOCK = text(f"""
SELECT s.program_id, s.campaign_id, s.points_left, s.count_left
FROM {_KEYS} JOIN campaign_budget_slices s USING (program_id, campaign_id)
ORDER BY s.program_id, s.campaign_id, s.slice
FOR UPDATE OF s
""")  # noqa: S608

_SPREAD = text(f"""
UPDATE campaign_budget_slices s SET points_left = u.points_left, count_left = u.count_left
FROM {_SLICES}
WHERE s.program_id = u.program_id AND s.campaign_id = u.campaign_id AND s.slice = u.slice
""")  # noqa: S608

_LEFT = text(f"""
SELECT s.program_id, s.campaign_id, sum(s.points_left)::bigint, sum(s.count_left)::bigint
FROM {_KEYS} JOIN campaign_budget_slices s USING (program_id, campaign_id)
GROUP BY 1, 2
""")  # noqa: S608

_GIVE_BACK = text(f"""
INSERT INTO campaign_budget_returns (id, at, {_RETURNS.columns})
SELECT uuidv7(), :now, {_RETURNS.columns} FROM {_RETURNS}
""")  # noqa: S608

# Of one campaign, the one with the oldest return: so nobody waits here for a slice while holding another.
_FOLD = text("""
WITH oldest AS (
    SELECT program_id, campaign_id FROM campaign_budget_returns WHERE at <= :now ORDER BY at LIMIT 1
), back AS (
    DELETE FROM campaign_budget_returns r
    WHERE r.id IN (
        SELECT t.id FROM campaign_budget_returns t JOIN oldest USING (program_id, campaign_id)
        WHERE t.at <= :now ORDER BY t.at LIMIT :batch FOR UPDATE OF t SKIP LOCKED
    )
    RETURNING r.program_id, r.campaign_id, r.points, r.count
), sums AS (
    SELECT program_id, campaign_id, sum(points) AS points, sum(count) AS count, count(*) AS rows
    FROM back GROUP BY 1, 2
), given AS (
    UPDATE campaign_budget_slices s
    SET points_left = s.points_left + b.points, count_left = s.count_left + b.count
    FROM sums b WHERE s.program_id = b.program_id AND s.campaign_id = b.campaign_id AND s.slice = 0
)
SELECT program_id, campaign_id, rows FROM sums
""")

# Of a limit that was lowered below what was used by then, the first that comes back is not left. The returns
# before it hold the slice, so no other limit is approved meanwhile.
_LOWER = text("""
WITH beyond AS (
    SELECT b.program_id, b.campaign_id,
           least(s.points_left, greatest(b.points - CAST(l.budget ->> 'points' AS bigint), 0)) AS points,
           least(s.count_left, greatest(b.count - CAST(l.budget ->> 'count' AS int), 0)) AS count
    FROM campaign_budgets b
    JOIN campaign_budget_slices s USING (program_id, campaign_id)
    CROSS JOIN LATERAL (
        SELECT v.document -> 'budget' AS budget FROM campaign_versions v
        WHERE v.program_id = b.program_id AND v.campaign_id = b.campaign_id AND v.approved
        ORDER BY v.version DESC LIMIT 1
    ) l
    WHERE b.program_id = :program_id AND b.campaign_id = :campaign_id AND s.slice = 0
), lowered AS (
    UPDATE campaign_budgets b SET points = b.points - y.points, count = b.count - y.count FROM beyond y
    WHERE b.program_id = y.program_id AND b.campaign_id = y.campaign_id AND y.points + y.count > 0
)
UPDATE campaign_budget_slices s
SET points_left = s.points_left - y.points, count_left = s.count_left - y.count FROM beyond y
WHERE s.program_id = y.program_id AND s.campaign_id = y.campaign_id AND s.slice = 0
  AND y.points + y.count > 0
""")

_LOCK_MEMBERS = text("SELECT pg_advisory_xact_lock(k) FROM unnest(CAST(:keys AS bigint[])) k")

_MEMBER_POINTS = text(f"""
SELECT m.program_id, m.member_id, m.campaign, coalesce(sum({KEPT}), 0)::bigint
FROM {_MEMBERS} JOIN credits c USING (program_id, member_id, campaign)
WHERE c.unit = 'points'
GROUP BY 1, 2, 3
""")  # noqa: S608

_DEVICES = text(f"""
SELECT DISTINCT m.program_id, m.member_id, encode(t.hash, 'hex')
FROM {_MEMBERS} JOIN member_traits t USING (program_id, member_id)
WHERE t.kind = 'device'
""")  # noqa: S608

_DEVICE_COUNTS = text(f"""
SELECT m.program_id, m.campaign, encode(t.hash, 'hex'), count(DISTINCT c.id)
FROM (SELECT DISTINCT program_id, campaign, hash FROM {_MEMBERS}
      JOIN member_traits USING (program_id, member_id) WHERE kind = 'device') m
JOIN member_traits t ON t.program_id = m.program_id AND t.kind = 'device' AND t.hash = m.hash
JOIN credits c ON c.program_id = t.program_id AND c.member_id = t.member_id AND c.campaign = m.campaign
WHERE {KEPT} > 0
GROUP BY 1, 2, 3
""")  # noqa: S608

_MEMBER_COUNTS = text(f"""
SELECT m.program_id, m.member_id, m.campaign, count(*)
FROM {_MEMBERS} JOIN credits c USING (program_id, member_id, campaign)
WHERE {KEPT} > 0
GROUP BY 1, 2, 3
""")  # noqa: S608


# A merger copies credits under their ids, and reverses those that it copied.
_GRANTED = text(f"""
SELECT coalesce(sum(kept), 0)::bigint, count(*) FILTER (WHERE kept > 0)
FROM (
    SELECT c.id, max({KEPT}) AS kept FROM credits c
    WHERE c.program_id = :program_id AND c.campaign = :campaign_id AND c.unit = 'points'
    GROUP BY c.id
) g
""")  # noqa: S608

# What others are taking meanwhile is still left here: the last one to commit sees the alert reached, or the
# next one to take does.
_ALERT = text(f"""
INSERT INTO campaign_alerts (program_id, campaign_id, of, total, percent, at)
SELECT b.program_id, b.campaign_id, u.of, u.total, p.percent, CAST(:now AS timestamptz)
FROM {_PERCENTS}
JOIN campaign_budgets b USING (program_id, campaign_id)
CROSS JOIN LATERAL (
    SELECT sum(s.points_left) AS points, sum(s.count_left) AS count FROM campaign_budget_slices s
    WHERE s.program_id = b.program_id AND s.campaign_id = b.campaign_id
) l
CROSS JOIN LATERAL (
    VALUES ('points', b.points, b.points - l.points), ('count', b.count, b.count - l.count)
) u (of, total, used)
WHERE u.used * 100 >= u.total * p.percent
ON CONFLICT DO NOTHING
""")  # noqa: S608


class Taking(Struct, frozen=True):
    """Points and a number of credits to take from the budget of a campaign."""

    program_id: str
    campaign_id: str
    points: int
    count: int

    @property
    def key(self) -> CampaignKey:
        return self.program_id, self.campaign_id


async def take_from_one_slice(
    conn: AsyncConnection, wanted: Sequence[Taking], *, first: int
) -> set[CampaignKey]:
    """Take all that is wanted of each campaign from one slice, without waiting; the campaigns of which that
    was possible. Transactions begin to look at different slices, from `first` on.
    """
    rows = await conn.execute(_TAKE, _WANTED.of_structs(wanted) | {"first": first})
    return {(row[0], row[1]) for row in rows}


async def lock_left(conn: AsyncConnection, keys: Iterable[CampaignKey]) -> dict[CampaignKey, Left]:
    """Lock all slices of these budgets, waiting for others, and return what is left."""
    found: dict[CampaignKey, Left] = {}
    for program_id, campaign_id, points, count in await conn.execute(_LOCK, _KEYS.of(sorted(set(keys)))):
        left = found.setdefault((program_id, campaign_id), Left(0, 0))
        left.points = None if points is None or left.points is None else left.points + points
        left.count = None if count is None or left.count is None else left.count + count
    return found


async def write_left(conn: AsyncConnection, left: dict[CampaignKey, Left]) -> None:
    """Spread what is left of budgets, all slices of which are locked, evenly over them."""
    rows = [
        (*key, number, points, count)
        for key, rest in left.items()
        for number, (points, count) in enumerate(zip(spread(rest.points), spread(rest.count), strict=True))
    ]
    await conn.execute(_SPREAD, _SLICES.of(rows))


async def read_left(conn: AsyncConnection, keys: Iterable[CampaignKey]) -> dict[CampaignKey, Left]:
    """Read what is left, without locks: what is being taken meanwhile is still in it."""
    rows = await conn.execute(_LEFT, _KEYS.of(sorted(set(keys))))
    return {(row[0], row[1]): Left(row[2], row[3]) for row in rows}


async def read_totals(conn: AsyncConnection, keys: Iterable[CampaignKey]) -> dict[CampaignKey, Left]:
    """Read the totals, of which some may be used."""
    c = campaign_budgets.c
    wanted = {key[0] for key in keys}
    rows = await conn.execute(
        select(c.program_id, c.campaign_id, c.points, c.count).where(c.program_id.in_(wanted))
    )
    return {(row[0], row[1]): Left(row[2], row[3]) for row in rows}


async def give_back(conn: AsyncConnection, returned: Sequence[Taking], *, now: datetime) -> None:
    """Note what comes back to budgets. It can be taken soon."""
    rows = [each for each in returned if each.points or each.count]
    if rows:
        await conn.execute(_GIVE_BACK, _RETURNS.of_structs(rows) | {"now": now})


async def fold_returns(conn: AsyncConnection, *, now: datetime, batch: int) -> int:
    """Add what came back to the budgets, as far as their limits go; the number of returns."""
    row = (await conn.execute(_FOLD, {"now": now, "batch": batch})).one_or_none()
    if row is None:
        return 0
    await conn.execute(_LOWER, {"program_id": row.program_id, "campaign_id": row.campaign_id})
    return int(row.rows)


async def next_return(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    at = campaign_budget_returns.c.at
    found: datetime | None = await conn.scalar(select(func.min(at)).where(at > after))
    return found


async def set_total(conn: AsyncConnection, key: CampaignKey, total: Left) -> None:
    """Write the total of a budget, and its slices if it has none yet."""
    values = {"points": total.points, "count": total.count}
    name = {"program_id": key[0], "campaign_id": key[1]}
    query = insert(campaign_budgets).values(name | values)
    await conn.execute(query.on_conflict_do_update(index_elements=["program_id", "campaign_id"], set_=values))
    slices = [
        name | {"slice": number, "points_left": points, "count_left": count}
        for number, (points, count) in enumerate(zip(spread(total.points), spread(total.count), strict=True))
    ]
    await conn.execute(insert(campaign_budget_slices).values(slices).on_conflict_do_nothing())


class Granted(Struct, frozen=True):
    """The points and the number of credits that a campaign has granted and not taken back."""

    points: int
    count: int


async def read_granted(conn: AsyncConnection, key: CampaignKey) -> Granted:
    """Read what a campaign has granted. Credits that a merger moved count once."""
    row = (await conn.execute(_GRANTED, {"program_id": key[0], "campaign_id": key[1]})).one()
    return Granted(row[0], row[1])


async def lock_members(conn: AsyncConnection, keys: Iterable[int]) -> None:
    """Keep others from granting to the same members or devices until the transaction ends."""
    await conn.execute(_LOCK_MEMBERS, {"keys": sorted(set(keys))})


async def read_member_points(
    conn: AsyncConnection, members: Iterable[tuple[MemberKey, str]]
) -> dict[tuple[str, MemberKey], int]:
    """Read the points that campaigns have granted to members: by campaign and member."""
    rows = await conn.execute(_MEMBER_POINTS, _of_members(members))
    return {(row[2], (row[0], row[1])): row[3] for row in rows}


async def read_devices(
    conn: AsyncConnection, members: Iterable[tuple[MemberKey, str]]
) -> dict[MemberKey, list[str]]:
    """Read the hashes of the devices that members are known to have."""
    found: dict[MemberKey, list[str]] = {}
    for program_id, member_id, device in await conn.execute(_DEVICES, _of_members(members)):
        found.setdefault((program_id, member_id), []).append(device)
    return found


async def read_device_counts(
    conn: AsyncConnection, members: Iterable[tuple[MemberKey, str]]
) -> dict[tuple[str, str], int]:
    """Read how many credits campaigns have granted to members with the devices of these: by campaign and
    device.
    """
    rows = await conn.execute(_DEVICE_COUNTS, _of_members(members))
    return {(row[1], row[2]): row[3] for row in rows}


async def read_member_counts(
    conn: AsyncConnection, members: Iterable[tuple[MemberKey, str]]
) -> dict[tuple[str, MemberKey], int]:
    """Read how many credits campaigns have granted to members: by campaign and member."""
    rows = await conn.execute(_MEMBER_COUNTS, _of_members(members))
    return {(row[2], (row[0], row[1])): row[3] for row in rows}


async def add_alerts(
    conn: AsyncConnection, percents: Mapping[CampaignKey, Iterable[int]], *, now: datetime
) -> None:
    """Add to the outbox the alerts at these percentages that budgets have reached, each once for a total."""
    rows = [(*key, percent) for key, each in percents.items() for percent in each]
    if rows:
        await conn.execute(_ALERT, _PERCENTS.of(rows) | {"now": now})


class Alert(Struct, frozen=True):
    """A budget has reached a percentage of its total, in points or in credits (`of`)."""

    program_id: str
    campaign_id: str
    of: Literal["points", "count"]
    total: int
    percent: int
    at: datetime


async def publish_alerts(conn: AsyncConnection, *, now: datetime) -> list[Alert]:
    """Mark alerts as published, and return them."""
    c = campaign_alerts.c
    names = [c[name] for name in Alert.__struct_fields__]
    query = (
        update(campaign_alerts)
        .where(c.published_at.is_(None), c.at <= now)
        .values(published_at=now)
        .returning(*names)
    )
    return [Alert(*row) for row in await conn.execute(query)]


async def next_alert(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    c = campaign_alerts.c
    query = select(func.min(c.at)).where(c.published_at.is_(None), c.at > after)
    found: datetime | None = await conn.scalar(query)
    return found


async def read_alerts(conn: AsyncConnection, key: CampaignKey) -> list[Alert]:
    """Read the alerts of a campaign, oldest first."""
    c = campaign_alerts.c
    names = [c[name] for name in Alert.__struct_fields__]
    query = (
        select(*names).where(c.program_id == key[0], c.campaign_id == key[1]).order_by(c.at, c.of, c.percent)
    )
    return [Alert(*row) for row in await conn.execute(query)]


def has_limits(budget: Budget | None) -> bool:
    """Tell whether a budget is kept in slices."""
    return budget is not None and (budget.points is not None or budget.count is not None)


def _of_members(members: Iterable[tuple[MemberKey, str]]) -> dict[str, list[object]]:
    return _MEMBERS.of((*key, campaign) for key, campaign in sorted(set(members)))
