"""The audit log is only added to, and whoever gets around that is noticed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.audit import Published, run_checks
from engage.runtime.database import open_database, snapshot, transaction
from engage.settings import Settings
from engage.store import audit_log
from engage.store.audit_log import AuditEntry, LoggedEntry, read_page, write
from engage.store.checks import STORE_CHECKS
from tests.support.clock import NOON

WRITERS = 8
EACH = 10


@pytest.fixture
async def db(database: Settings) -> AsyncIterator[AsyncEngine]:
    opened = open_database(database.database_url, pool_size=WRITERS)
    yield opened
    await opened.dispose()


def entry(name: str, **fields: object) -> AuditEntry:
    values = {"at": NOON, "program_id": "p", "operator": "anna", "subject": "campaign:spring"} | fields
    return AuditEntry(action=name, **values)  # type: ignore[arg-type]  # Fields of the struct.


async def add(db: AsyncEngine, *entries: AuditEntry) -> None:
    async with transaction(db) as conn:
        for each in entries:
            await write(conn, each)


async def page(
    db: AsyncEngine, programs: list[str] | None = None, subject: str | None = None
) -> list[LoggedEntry]:
    async with transaction(db) as conn:
        found, more = await read_page(conn, programs, subject=subject, operator=None, before=None, limit=100)
    assert not more
    return found


async def broken_rows(db: AsyncEngine) -> int:
    (check,) = [check for check in STORE_CHECKS if check.name == "audit_log_stays"]
    async with snapshot(db) as conn:
        found = await run_checks(conn, [check], published=Published([]), now=NOON, wall=NOON, limit=10)
    return sum(finding.count for finding in found)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_log SET reason = 'another'",
        "UPDATE audit_log SET reason = 'another' WHERE false",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "TRUNCATE audit_log, audit_log_head CASCADE",
        "INSERT INTO audit_log SELECT * FROM audit_log ON CONFLICT (id) DO UPDATE SET reason = 'another'",
        "MERGE INTO audit_log USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
    ],
)
async def test_the_database_refuses_to_change_the_log_even_to_a_superuser(
    db: AsyncEngine, change: str
) -> None:
    await add(db, entry("created"), entry("approved"))
    known = await page(db)
    for role in ("origin", "replica"):  # In a replica's session, ordinary triggers do not run.
        async with db.connect() as conn:
            assert (await conn.execute(text("SHOW is_superuser"))).scalar_one() == "on"
            await conn.execute(text(f"SET LOCAL session_replication_role = {role}"))
            with pytest.raises(IntegrityError) as refused:
                await conn.execute(text(change))
            assert "audit_log is only added to" in str(refused.value)
    assert await page(db) == known
    assert await broken_rows(db) == 0


async def test_entries_are_read_newest_first_by_program_and_subject(db: AsyncEngine) -> None:
    before, after = {"title": {"en": "Spring"}, "n": 1.50}, {"title": {"en": "Été"}, "list": [None, True]}
    await add(
        db,
        entry("created", before=None, after=before),
        entry("changed", before=before, after=after, reason="« more »"),
        entry("revoked", program_id=None, subject="api_key:1"),
        entry("created", program_id="q", subject="campaign:autumn"),
    )
    assert [(e.seq, e.action) for e in await page(db)] == [
        (4, "created"),
        (3, "revoked"),
        (2, "changed"),
        (1, "created"),
    ]
    assert [e.seq for e in await page(db, ["p"])] == [2, 1]
    assert [e.seq for e in await page(db, [])] == []
    assert [e.seq for e in await page(db, ["p", "q"], "campaign:autumn")] == [4]
    changed = (await page(db, ["p"]))[0]
    assert (changed.before, changed.after, changed.reason) == (before, after, "« more »")
    assert (changed.at, changed.operator, changed.id.version) == (NOON, "anna", 7)
    assert await broken_rows(db) == 0


async def test_a_page_of_large_documents_is_short(db: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "PAGE_BYTES", 2_000)
    for size in (10, 900, 900, 5_000, 10):
        await add(db, entry("changed", before="b" * size, after="a"))
    pages, before, more = [], None, True
    async with transaction(db) as conn:
        while more:
            found, more = await read_page(conn, ["p"], subject=None, operator=None, before=before, limit=3)
            pages.append([each.seq for each in found])
            before = found[-1].seq
    assert pages == [[5], [4], [3, 2, 1]], "at least one, whatever its size"


async def test_entries_of_many_writers_make_one_chain(db: AsyncEngine) -> None:
    async def add_some(writer: int) -> None:
        for n in range(EACH):
            await add(db, entry(f"{writer}.{n}"))

    await asyncio.gather(*(add_some(writer) for writer in range(WRITERS)))
    numbers = [each.seq for each in await page(db)]
    assert numbers == list(range(WRITERS * EACH, 0, -1))
    assert await broken_rows(db) == 0


async def test_what_is_rolled_back_leaves_no_gap(db: AsyncEngine) -> None:
    await add(db, entry("created"))
    async with db.connect() as conn, conn.begin() as undone:
        await write(conn, entry("never"))
        await undone.rollback()
    await add(db, entry("approved"))
    assert [(each.seq, each.action) for each in await page(db)] == [(2, "approved"), (1, "created")]
    assert await broken_rows(db) == 0


async def test_the_chain_is_the_same_in_another_zone_and_format(db: AsyncEngine) -> None:
    await add(db, entry("created", after={"b": 1, "a": "é"}), entry("approved"))
    async with db.connect() as conn:
        await conn.execute(text("SET LOCAL TimeZone = 'Asia/Kolkata'"))
        await conn.execute(text("SET LOCAL DateStyle = 'German'"))
        (check,) = [check for check in STORE_CHECKS if check.name == "audit_log_stays"]
        found = await run_checks(conn, [check], published=Published([]), now=NOON, wall=NOON, limit=10)
    assert found == []
