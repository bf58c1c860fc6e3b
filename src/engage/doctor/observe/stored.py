"""Observe what PostgreSQL stores: work that waits, programs, campaigns, operators and keys."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.doctor.observations import AccessSeen, CampaignsSeen, ProgramsSeen, WorkSeen
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.campaigns.zones import zones_of
from engage.domain.document.errors import DocumentError
from engage.domain.program import parse
from engage.domain.program.program import Program
from engage.domain.program.versions import in_force, upcoming
from engage.domain.refusals import Unavailable
from engage.runtime.campaign_cache import indexes
from engage.runtime.database import open_database, snapshot
from engage.runtime.database_clock import read_clock
from engage.settings import Settings
from engage.store import api_keys
from engage.store import programs as stored_programs
from engage.store.campaigns import actions
from engage.store.campaigns.budgets import read_left
from engage.store.campaigns.versions import read_approved
from engage.store.operators import operators

DEADLINE_S: Final = 20.0
STATEMENT_S: Final = 8.0
SOON: Final = timedelta(days=7)
ENDS: Final = timedelta(days=1)
OLD_KEY: Final = timedelta(days=365)
UNPAID: Final = timedelta(days=2)
MOST_COUNTED: Final = 100_000

# Each table is read through an index, and counted up to a limit.
_WORK = text("""
WITH overdue AS (
    SELECT due_at FROM stored_credits WHERE state = 'pending' AND unit IS NULL AND due_at < :now
    ORDER BY due_at LIMIT :most
), units AS (
    SELECT due_at FROM stored_credits WHERE state = 'pending' AND unit IS NOT NULL AND due_at < :now
    ORDER BY due_at LIMIT :most
), unpublished AS (
    SELECT written_at FROM outbox ORDER BY written_at LIMIT :most
), changed AS (
    SELECT at, tries FROM member_changes WHERE at < :now ORDER BY at LIMIT :most
), unknown AS (
    SELECT requested_at FROM withdrawals
    WHERE state IN ('requested', 'submitted', 'unknown') AND state = 'unknown'
), late AS (
    SELECT FROM withdrawals
    WHERE state IN ('requested', 'submitted', 'unknown') AND ask_at < :now - interval '1 minute'
), working AS (
    SELECT created_at FROM backtests WHERE state = 'running'
)
SELECT (SELECT count(*) FROM overdue) + (SELECT count(*) FROM units),
       least((SELECT min(due_at) FROM overdue), (SELECT min(due_at) FROM units)),
       (SELECT count(*) FROM unpublished), (SELECT min(written_at) FROM unpublished),
       (SELECT count(*) FROM unknown), (SELECT min(requested_at) FROM unknown),
       (SELECT count(*) FROM late),
       (SELECT count(*) FROM changed), (SELECT min(at) FROM changed),
       (SELECT count(*) FROM changed WHERE tries >= 3),
       (SELECT count(*) FROM working), (SELECT min(created_at) FROM working)
""")

_HAS_PAID = text("""
SELECT EXISTS (
    SELECT FROM stored_credits c JOIN balances b USING (account)
    WHERE c.campaign = :campaign AND b.program_id = :program
)
""")


class StoredSeen(Struct, frozen=True):
    work: WorkSeen
    programs: ProgramsSeen
    campaigns: CampaignsSeen
    access: AccessSeen


async def observe_stored(settings: Settings) -> StoredSeen | None:
    """Observe in one snapshot. None where the database does not answer, or has other tables."""
    db = open_database(settings.database_url, pool_size=1, command_timeout_s=STATEMENT_S)
    try:
        async with asyncio.timeout(DEADLINE_S), snapshot(db) as conn:
            clock = await read_clock(settings, conn)
            now, wall = clock.now(), clock.wall()
            seen, versions = await _programs(conn, now)
            return StoredSeen(
                await _work(conn, now=now, wall=wall),
                seen,
                await _campaigns(conn, versions, now),
                await _access(conn, now, is_sandbox=settings.sandbox is not None),
            )
    except (Unavailable, TimeoutError):
        return None
    finally:
        await db.dispose()


async def _work(conn: AsyncConnection, *, now: datetime, wall: datetime) -> WorkSeen:
    row = (await conn.execute(_WORK, {"now": now, "most": MOST_COUNTED})).one()
    return WorkSeen(
        overdue_credits=row[0],
        oldest_overdue=_age(row[1], now),
        outbox_rows=row[2],
        oldest_outbox=_age(row[3], wall),
        unknown_payouts=row[4],
        oldest_unknown=_age(row[5], now),
        late_payouts=row[6],
        changes=row[7],
        oldest_change=_age(row[8], now),
        failing_changes=row[9],
        backtests=row[10],
        oldest_backtest=_age(row[11], now),
    )


def _age(since: datetime | None, now: datetime) -> timedelta:
    return timedelta() if since is None else max(now - since, timedelta())


async def _programs(conn: AsyncConnection, now: datetime) -> tuple[ProgramsSeen, dict[str, list[Program]]]:
    """Parse each version by itself: one that cannot be read hides no other."""
    unreadable: dict[str, str] = {}
    versions: dict[str, list[Program]] = {}
    for stored in await stored_programs.read_all(conn):
        source = f"{stored.program_id} {stored.version}"
        versions.setdefault(stored.program_id, [])
        try:
            versions[stored.program_id].append(parse.read(stored.document, source=source))
        except DocumentError as error:
            unreadable[source] = str(error).splitlines()[-1].strip()
    running = {name for name, own in versions.items() if _runs(own, now)}
    beginning = {
        f"{name} {version.version}": str(version.in_force_from)
        for name, own in sorted(versions.items())
        for country in sorted({country for version in own for country in version.countries})
        for start, version in upcoming(own, now, country)
        if start <= now + SOON
    }
    waiting = sorted(name for name, own in versions.items() if own and name not in running)
    return ProgramsSeen(unreadable, sorted(running), waiting, beginning), versions


def _runs(versions: Sequence[Program], now: datetime) -> bool:
    countries = {country for version in versions for country in version.countries}
    return any(in_force(versions, now, country) is not None for country in countries)


async def _campaigns(
    conn: AsyncConnection, versions: dict[str, list[Program]], now: datetime
) -> CampaignsSeen:
    found = indexes(await actions.read_all(conn), await read_approved(conn), {})
    running = [
        (program, published, zones)
        for program, index in sorted(found.items())
        for published in index.published
        if _is_running(published, zones := zones_of(published.campaign, versions.get(program, ())), now)
    ]
    left = await read_left(conn, [(program, published.id) for program, published, _ in running])
    unpaid: dict[str, int] = {}
    for program, published, zones in running:
        begun = max(published.campaign.first_instant(zones), published.intervals[0].start)
        if now - begun >= UNPAID and not await _has_paid(conn, program, published.id):
            unpaid[f"{program}/{published.id}"] = (now - begun).days
    return CampaignsSeen(
        without_budget=[
            f"{program}/{published.id}"
            for program, published, _ in running
            if (rest := left.get((program, published.id))) is not None and 0 in (rest.points, rest.count)
        ],
        never_paid=unpaid,
        ending=[
            f"{program}/{published.id}"
            for program, published, zones in running
            if published.campaign.last_instant(zones) <= now + ENDS
        ],
    )


def _is_running(published: PublishedCampaign, zones: Sequence[str], now: datetime) -> bool:
    campaign = published.campaign
    return campaign.first_instant(zones) <= now < campaign.last_instant(zones) and any(
        interval.contains(now) for interval in published.intervals
    )


async def _has_paid(conn: AsyncConnection, program: str, campaign: str) -> bool:
    values = {"program": program, "campaign": campaign}
    return bool((await conn.execute(_HAS_PAID, values)).scalar_one())


async def _access(conn: AsyncConnection, now: datetime, *, is_sandbox: bool) -> AccessSeen:
    active = [each for each in await operators.list_operators(conn) if each.disabled_at is None]
    keys = [key for key in await api_keys.list_keys(conn) if key.revoked_at is None]
    return AccessSeen(
        operators=len(active),
        without_second_factor=[
            each.email for each in active if each.password_hash is not None and each.totp_secret is None
        ],
        keys=len(keys),
        old_keys={key.name: (now - key.created_at).days for key in keys if now - key.created_at > OLD_KEY},
        unbound_keys=[key.name for key in keys if key.programs is None],
        is_sandbox=is_sandbox,
    )
