"""Rows of referrals.

The members of a referral are locked before it is, so that nobody merges or erases them meanwhile. A merger
writes the survivor's id into the rows.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.domain.referrals.referral import Progress, Referral, State
from engage.schema.referrals import referrals as table
from engage.schema.rows import Batch
from engage.schema.time import is_due

_KEYS = Batch("k", table, "program_id", "member_id")

# Whose facts can change something: of an approved referral only an end, or an order that is awaited or was
# returned.
_TOUCHED = text(f"""
SELECT r.id
FROM {_KEYS} JOIN referrals r USING (program_id, member_id) JOIN members m USING (program_id, member_id)
WHERE r.state IN ('pending', 'flagged') OR (
    r.state = 'approved' AND (r.advocate_lost_at IS NULL OR r.friend_lost_at IS NULL) AND (
        m.erased_at IS NOT NULL OR r.member_id = r.advocate_id OR r.advocate_met_at IS NULL
        OR r.friend_met_at IS NULL OR EXISTS (
            SELECT FROM orders o
            WHERE o.program_id = r.program_id AND o.member_id = r.member_id
              AND o.order_id IN (r.advocate_order, r.friend_order)
              AND (o.cancelled_at IS NOT NULL OR o.returns <> '[]'))))
UNION
SELECT r.id
FROM {_KEYS} JOIN referrals r ON r.program_id = k.program_id AND r.advocate_id = k.member_id
JOIN members m ON m.program_id = k.program_id AND m.member_id = k.member_id
WHERE r.state IN ('pending', 'flagged') AND m.erased_at IS NOT NULL
ORDER BY 1
""")  # noqa: S608  # Names of the schema, here and below.

_DUE = text(f"""
SELECT r.id, r.due_at FROM referrals r WHERE {is_due("r.due_at")} AND NOT r.id = ANY(CAST(:without AS uuid[]))
ORDER BY r.due_at, r.id LIMIT :limit
""")  # noqa: S608

_NEXT_DUE = text("SELECT min(due_at) FROM referrals WHERE due_at > :after")

# In key order, as every lock of members. Of an erased member the row is there still.
_LOCK_MEMBERS = text("""
SELECT m.member_id, m.country, m.joined_at, m.erased_at IS NOT NULL AS erased, EXISTS (
    SELECT FROM members o WHERE o.program_id = m.program_id AND o.merged_into = m.member_id) AS is_survivor
FROM members m
WHERE m.program_id = :program_id AND m.member_id = ANY(CAST(:member_ids AS text[]))
ORDER BY m.member_id
FOR KEY SHARE OF m
""")

_KNOWN = text("""
SELECT EXISTS (SELECT FROM referrals WHERE program_id = :program_id AND member_id = :friend) AS is_referred,
       EXISTS (SELECT FROM referrals WHERE program_id = :program_id AND member_id = :advocate)
           AS advocate_is_referred,
       EXISTS (SELECT FROM members WHERE program_id = :program_id AND merged_into = :friend) AS is_survivor,
       EXISTS (
           SELECT FROM orders WHERE program_id = :program_id AND member_id = :friend
             AND delivered_at IS NOT NULL AND paid IS NOT NULL AND cancelled_at IS NULL
       ) AS has_delivery,
       (SELECT count(*) FROM referrals
        WHERE program_id = :program_id AND advocate_id = :advocate AND state <> 'rejected'
          AND (CAST(:since AS timestamptz) IS NULL OR claimed_at >= :since)) AS used
""")

# A circle can only be closed by a claim whose advocate was referred: these wait for each other, all others
# only for claims of the same two members.
_LOCK_CIRCLES = text("SELECT pg_advisory_xact_lock(hashtextextended('referrals ' || :program_id, 0))")

_IN_CIRCLE = text("""
WITH RECURSIVE up AS (
    SELECT advocate_id FROM referrals WHERE program_id = :program_id AND member_id = :advocate
    UNION
    SELECT r.advocate_id FROM up JOIN referrals r
        ON r.program_id = :program_id AND r.member_id = up.advocate_id
)
SELECT EXISTS (SELECT FROM up WHERE advocate_id = :friend)
""")

_COUNTS = text("""
SELECT count(*) AS invited,
       count(*) FILTER (WHERE state IN ('pending', 'approved') AND advocate_paid_at IS NULL
                          AND advocate_lost_at IS NULL) AS pending,
       count(*) FILTER (WHERE advocate_paid_at IS NOT NULL AND advocate_lost_at IS NULL) AS rewarded,
       count(*) FILTER (WHERE state = 'flagged') AS flagged
FROM referrals WHERE program_id = :program_id AND advocate_id = :member_id
""")


class ReferredMember(Struct, frozen=True):
    """One of the two members of a referral, locked. `is_survivor`: another account was merged into theirs."""

    member_id: str
    country: str
    joined_at: datetime
    erased: bool
    is_survivor: bool


class KnownOfBoth(Struct, frozen=True):
    """The facts about a friend and an advocate that are in rows (`engage.domain.referrals.claim`)."""

    is_referred: bool
    advocate_is_referred: bool
    is_survivor: bool
    has_delivery: bool
    used: int


class Counts(Struct, frozen=True):
    """An advocate's referrals. `rewarded` are those that have paid the advocate."""

    invited: int
    pending: int
    rewarded: int
    flagged: int


async def read_known(
    conn: AsyncConnection, program_id: str, *, friend: str, advocate: str, since: datetime | None
) -> KnownOfBoth:
    """Read what decides about a claim. `since`: when the window of the limit began."""
    values = {"program_id": program_id, "friend": friend, "advocate": advocate, "since": since}
    return KnownOfBoth(*(await conn.execute(_KNOWN, values)).one())


async def is_in_circle(conn: AsyncConnection, program_id: str, *, friend: str, advocate: str) -> bool:
    """Return whether the friend has referred the advocate, or whoever referred them, and so on. Nobody closes
    a circle in this program until the transaction ends.
    """
    values = {"program_id": program_id, "friend": friend, "advocate": advocate}
    await conn.execute(_LOCK_CIRCLES, {"program_id": program_id})
    found: bool = (await conn.execute(_IN_CIRCLE, values)).scalar_one()
    return found


async def lock_members(
    conn: AsyncConnection, program_id: str, member_ids: Iterable[str]
) -> dict[str, ReferredMember]:
    """Let nobody merge or erase these members until the transaction ends. Comes before the referral's lock,
    and before those of the ledger.
    """
    values = {"program_id": program_id, "member_ids": sorted(set(member_ids))}
    return {row.member_id: ReferredMember(*row) for row in await conn.execute(_LOCK_MEMBERS, values)}


async def add_referral(conn: AsyncConnection, referral: Referral) -> None:
    await conn.execute(insert(table).values(_row(referral)))


async def write_referral(conn: AsyncConnection, referral: Referral) -> None:
    """Write a referral that is locked."""
    await conn.execute(update(table).where(table.c.id == referral.id).values(_row(referral)))


async def read_referral(conn: AsyncConnection, id_: UUID) -> Referral | None:
    row = (await conn.execute(select(table).where(table.c.id == id_))).mappings().first()
    return None if row is None else _referral(row)


async def lock_referral(conn: AsyncConnection, id_: UUID) -> Referral:
    """Lock a referral until the transaction ends."""
    query = select(table).where(table.c.id == id_).with_for_update()
    return _referral((await conn.execute(query)).mappings().one())


async def list_referrals(
    conn: AsyncConnection, program_ids: Sequence[str], *, state: State | None, before: UUID | None, limit: int
) -> list[Referral]:
    """Read a page of the referrals of these programs, newest first."""
    query = select(table).where(table.c.program_id.in_(program_ids)).order_by(table.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(table.c.state == state)
    if before is not None:
        query = query.where(table.c.id < before)
    return [_referral(row) for row in (await conn.execute(query)).mappings()]


async def read_counts(conn: AsyncConnection, key: MemberKey) -> Counts:
    values = {"program_id": key[0], "member_id": key[1]}
    return Counts(*(await conn.execute(_COUNTS, values)).one())


async def read_touched(conn: AsyncConnection, members: Iterable[MemberKey]) -> list[UUID]:
    """Read the referrals that may have to change because facts of these members have."""
    return list((await conn.execute(_TOUCHED, _KEYS.of(members))).scalars())


async def read_due(
    conn: AsyncConnection,
    *,
    now: datetime,
    ahead: timedelta,
    on_time: bool,
    without: Iterable[UUID],
    limit: int,
) -> list[tuple[UUID, datetime]]:
    """Read (id, due time) of referrals that pay something by `now`, without locking them."""
    values = {"now": now, "ahead": ahead, "on_time": on_time, "without": list(without), "limit": limit}
    return [(row.id, row.due_at) for row in await conn.execute(_DUE, values)]


async def next_referral(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` at which a referral pays something."""
    due_at: datetime | None = (await conn.execute(_NEXT_DUE, {"after": after})).scalar()
    return due_at


def _row(referral: Referral) -> dict[str, Any]:
    sides = ("advocate", "friend")
    row = {name: getattr(referral, name) for name in Referral.__struct_fields__ if name not in sides}
    row["flags"] = list(referral.flags)
    for side, progress in (("advocate", referral.advocate), ("friend", referral.friend)):
        row |= {
            f"{side}_met_at": progress.met_at,
            f"{side}_order": progress.order_id,
            f"{side}_paid_at": progress.paid_at,
            f"{side}_lost_at": progress.lost_at,
        }
    return row


def _referral(row: Any) -> Referral:
    fields: dict[str, Any] = {
        side: Progress(
            row[f"{side}_met_at"], row[f"{side}_order"], row[f"{side}_paid_at"], row[f"{side}_lost_at"]
        )
        for side in ("advocate", "friend")
    }
    fields |= {name: row[name] for name in Referral.__struct_fields__ if name not in fields}
    return Referral(**fields)
