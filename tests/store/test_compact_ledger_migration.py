"""A ledger of the release before is brought along: nothing is lost, and it reads as before."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.accounts.period import Period
from engage.ledger.credits import list_credits, list_entries
from engage.ledger.reports import read_past_balance, read_sums
from engage.runtime.database import open_database, snapshot
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import services_with_activities
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, NOON, StoppedClock
from tests.support.database import rows
from tests.support.full_history import BEGAN, write_full_history
from tests.support.migrations import move

BEFORE = "0035"
TABLES = ("credits", "entries", "lots")

# Each is among the rows of before that the full history leaves.
KINDS = (
    "credits WHERE why -> 'activity' ->> 'activity' = 'fuel_tap' AND streak_seq IS NOT NULL",
    "credits WHERE reference LIKE 'order:%' AND state = 'pending'",
    "credits WHERE beside IS NOT NULL AND state = 'active'",
    "credits WHERE campaign IS NOT NULL AND of_day IS NOT NULL",
    "credits WHERE rule_id = 'transfer'",
    "credits WHERE rule_id = 'adjustment'",
    "credits WHERE rule_id = 'opening_balance'",
    "credits WHERE points = 0 AND state = 'reversed'",
    "credits WHERE taken_back > 0 AND state = 'active'",
    "credits WHERE why -> 'trace' = '[[\"erased\", {}]]'",
    "entries WHERE held_delta <> 0",
    "entries WHERE debt_delta <> 0",
    "entries WHERE corrects IS NOT NULL",
    "lots WHERE remaining BETWEEN 1 AND points - 1",
    "lots WHERE expired > 0",
    "lots JOIN credits c USING (program_id, member_id) WHERE c.id = credit_id AND"
    " c.expires_at <> lots.expires_at",
)


def _with_instant(why: dict[str, Any]) -> dict[str, Any]:
    """An instant may be written in two ways."""
    return why | {"at": datetime.fromisoformat(why["at"])} if "at" in why else why


async def read_tables(db: AsyncEngine) -> dict[str, list[dict[str, Any]]]:
    """The rows of before, or what reads as them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in TABLES:
        stored = await rows(db, f"SELECT to_jsonb(t) - 'account' FROM {table} t")
        read = [dict(row) for (row,) in stored if isinstance(row, dict)]
        for row in read:
            row.update({"why": _with_instant(row["why"])} if "why" in row else {})
        found[table] = sorted(read, key=lambda row: json.dumps(row, sort_keys=True, default=str))
    return found


async def read_as_members(services: Services) -> dict[str, Any]:
    """Read all that members and reports are shown."""
    now = services.clock.now()
    found: dict[str, Any] = {}
    async with snapshot(services.db) as conn:
        for at in (now, now - 5 * DAY, NOON - 30 * DAY):
            found[f"sums {at}"] = await read_sums(conn, Period(at - 60 * DAY, at), None)
    members = await rows(services.db, "SELECT program_id, member_id FROM members ORDER BY 1, 2")
    async with services.db.connect() as conn:
        for program_id, member_id in members:
            key = str(program_id), str(member_id)
            credits = await list_credits(conn, *key, state=None, before=None, limit=1000)
            entries = await list_entries(conn, *key, before=None, limit=1000)
            past = await read_past_balance(conn, *key, at=NOON - 30 * DAY)
            found["/".join(key)] = (
                [replace(each, why=_with_instant(each.why)) for each in credits],
                entries,
                past,
            )
    return found


@pytest.mark.usefixtures("valkey")
async def test_a_full_history_is_brought_along_and_reads_as_before(own_database: Settings) -> None:
    async with services_with_activities(own_database, StoppedClock(BEGAN)) as services:
        await write_full_history(services)
        ended = services.clock.now()
        shown = await read_as_members(services)
    db = open_database(own_database.database_url, pool_size=1)
    try:
        await move(db, command.downgrade, BEFORE)
        for kind in KINDS:
            assert await rows(db, f"SELECT 1 FROM {kind} LIMIT 1"), kind
        before = await read_tables(db)
        await move(db, command.upgrade, "head")
        assert await read_tables(db) == before
    finally:
        await db.dispose()
    async with services_with_activities(own_database, StoppedClock(ended)) as services:
        assert await read_as_members(services) == shown
        await assert_audit_is_clean(services)


MEMBERS = """
INSERT INTO balances (program_id, member_id, active, pending)
VALUES ('p', 'm-1', 60, 5), ('p', 'm-2', 10, 0)
"""

CREDIT = """
INSERT INTO credits (program_id, member_id, id, source_key, reference, rule_id, program_version, points, unit,
                     state, activity_at, accepted_at, due_at, active_at, expires_at, reversed_at, why,
                     streak_seq)
SELECT 'p', :member, :id, :key, :reference, split_part(:key, ':', 1), '1', :points, :unit, :state, :at, :at,
       CASE WHEN :state = 'reversed' THEN NULL ELSE CAST(:at AS timestamptz) END,
       CASE WHEN :state = 'active' THEN CAST(:at AS timestamptz) END, :ends,
       CASE WHEN :state = 'reversed' THEN CAST(:at AS timestamptz) END, CAST(:why AS jsonb), :seq
"""

ENTRY = """
INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, house_account, house_delta,
                     balance_after, credit_id)
VALUES ('p', :member, :seq, 'earning', :at, 10, 'issued', -10, 10, :id)
"""

LOT = """
INSERT INTO lots (program_id, member_id, credit_id, entry_seq, points, remaining, active_at, expires_at,
                  expired)
VALUES ('p', 'm-1', :id, :seq, :points, :remaining, :at, :ends, :expired)
"""

ENDS = NOON + 30 * DAY


def decided(activity: dict[str, Any], at: datetime, **inputs: object) -> str:
    why = {"program": "p", "version": "1", "rule": "fuel", "activity": activity, "zone": "UTC"}
    return json.dumps(
        why | {"at": at.isoformat(), "inputs": inputs, "trace": [["streak_day", {"points": 10}]]}
    )


TAP = {"activity": "fuel_tap"}


class Ledger:
    """The tables of before, row by row."""

    def __init__(self, db: AsyncEngine) -> None:
        self.db = db

    async def write(self, statement: str, **values: object) -> None:
        async with self.db.begin() as conn:
            await conn.execute(text(statement), values)

    async def credit(
        self, key: str, why: str, member: str = "m-1", at: datetime = NOON, **more: object
    ) -> UUID:
        id_ = new_id()
        usual = {
            "reference": None,
            "points": 10,
            "unit": "points",
            "state": "active",
            "ends": ENDS,
            "seq": None,
        }
        values = usual | {"member": member, "id": id_, "key": key, "why": why, "at": at} | more
        await self.write(CREDIT, **values)
        return id_

    async def lot(self, id_: UUID, seq: int, **own: object) -> None:
        values = {"points": 10, "remaining": 10, "at": NOON, "ends": ENDS, "expired": 0} | own
        await self.write(LOT, id=id_, seq=seq, **values)


@pytest.fixture
async def ledger(own_database: Settings) -> AsyncIterator[Ledger]:
    db = open_database(own_database.database_url, pool_size=1)
    try:
        await move(db, command.downgrade, BEFORE)
        yield Ledger(db)
    finally:
        await db.dispose()


async def test_taps_that_were_decided_alike_share_their_decision(ledger: Ledger) -> None:
    """Only where the activity says nothing but its name, and more than one credit has the decision."""
    later = NOON + DAY / 2
    sign_in = {"activity": "app_sign_in", "event_id": None}
    share = {"activity": "share", "kind": "link", "product_id": "p-1", "network": None, "share_id": None}
    await ledger.write(MEMBERS)
    for member, at in (("m-1", NOON), ("m-2", later)):
        await ledger.credit("fuel:1", decided(TAP, at, streak_days=1), member, at)
        await ledger.credit("signing:1", decided(sign_in, at), member, at)
        await ledger.credit("sharing:1", decided(share, at), member, at)
    await ledger.credit("fuel:2", decided(TAP, NOON, streak_days=2))
    await ledger.credit("other:1", decided(TAP, NOON, streak_days=1), reference="event:1")
    await ledger.credit("fuel:3", decided(TAP, later, streak_days=1))
    before = await read_tables(ledger.db)
    await move(ledger.db, command.upgrade, "head")
    assert await read_tables(ledger.db) == before
    shared = await rows(
        ledger.db,
        "SELECT c.source_key, count(*), count(DISTINCT c.decision), d.why -> 'at', d.program_version"
        " FROM stored_credits c JOIN decisions d ON d.id = c.decision GROUP BY 1, 4, 5 ORDER BY 1",
    )
    assert shared == [("fuel:1", 2, 1, None, "1"), ("signing:1", 2, 1, None, "1")]


async def test_lots_go_on_in_their_credits(ledger: Ledger) -> None:
    """A lot keeps what it has of its own: other points, another end, what is spent or has expired."""
    lots: list[dict[str, object]] = [
        {},
        {"remaining": 4},
        {"remaining": 0, "expired": 6},
        {"points": 7, "remaining": 7},
        {"ends": ENDS + DAY},
    ]
    await ledger.write(MEMBERS)
    for seq, own in enumerate(lots, 1):
        id_ = await ledger.credit(f"fuel:{seq}", decided(TAP, NOON, day=seq), seq=seq)
        await ledger.write(ENTRY, member="m-1", seq=seq, at=NOON, id=id_)
        await ledger.lot(id_, seq, **own)
    await ledger.credit("levels:1", decided(TAP, NOON), unit="status")
    await ledger.credit("freeze:1", decided(TAP, NOON), points=0, state="reversed", ends=None, seq=6)
    await ledger.credit("late:1", decided(TAP, NOON), state="pending")
    before = await read_tables(ledger.db)
    await move(ledger.db, command.upgrade, "head")
    assert await read_tables(ledger.db) == before
    own_values = await rows(
        ledger.db,
        "SELECT lot_points, lot_ends_at, expired FROM stored_credits WHERE remaining >= 0 ORDER BY lot_seq",
    )
    assert own_values == [
        (None,) * 3,
        (None,) * 3,
        (None, None, 6),
        (7, None, None),
        (None, ENDS + DAY, None),
    ]


async def test_a_member_without_a_balance_gets_one(ledger: Ledger) -> None:
    await ledger.write(
        "INSERT INTO members (program_id, member_id, country, kind, joined_at, closed_at)"
        " VALUES ('p', 'idle', 'ES', 'person', :at, NULL), ('p', 'gone', 'ES', 'person', :at, :at)",
        at=NOON,
    )
    id_ = await ledger.credit("fuel:1", decided(TAP, NOON), "unknown")
    await ledger.write(ENTRY, member="nobody", seq=1, at=NOON, id=id_)
    before = await read_tables(ledger.db)
    await move(ledger.db, command.upgrade, "head")
    assert await read_tables(ledger.db) == before
    balances = await rows(ledger.db, "SELECT member_id, closed, active, pending FROM balances ORDER BY 1")
    assert balances == [
        ("gone", True, 0, 0),
        ("idle", False, 0, 0),
        ("nobody", False, 0, 0),
        ("unknown", False, 0, 0),
    ]


async def test_nothing_changes_when_a_row_would_be_lost(ledger: Ledger) -> None:
    await ledger.write(MEMBERS)
    await ledger.lot(await ledger.credit("fuel:1", decided(TAP, NOON)), 1)
    await ledger.lot(new_id(), 2)
    before = await read_tables(ledger.db)
    with pytest.raises(RuntimeError, match="1 rows of lots would be lost"):
        await move(ledger.db, command.upgrade, "head")
    assert await read_tables(ledger.db) == before
    assert await rows(ledger.db, "SELECT version_num FROM alembic_version") == [(BEFORE,)]
