"""The audit finds each broken invariant, and nothing in a correct database."""

import asyncio
from collections.abc import AsyncIterator
from typing import get_args

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from engage.audit import Rows
from engage.domain.accounts.movements import EntryKind
from engage.flows.activities.record import record
from engage.flows.operations import audit as operations
from engage.flows.operations.audit import CHECKS, ROWS_SHOWN, Audit, Check, audit, audit_snapshot
from engage.flows.scheduled.settle import settle_due
from engage.runtime.database import snapshot
from engage.runtime.services import Services
from engage.settings import Settings
from tests.flows.operations.broken_books import BROKEN, LATE, UNGUARDED
from tests.support.activities import act, join, review, services_with_activities
from tests.support.clock import DAY, StoppedClock, running_clock
from tests.support.database import rows
from tests.support.eventually import WITHIN_S
from tests.support.full_history import BEGAN, write_full_history


@pytest.fixture(scope="module")
async def full_history(module_database: Settings) -> AsyncIterator[Services]:
    async with Redis.from_url(module_database.state_url) as valkey:
        await valkey.flushall()
    async with services_with_activities(module_database, StoppedClock(BEGAN)) as services:
        await write_full_history(services)
        yield services


# Rows without which a part of the audit would look at nothing.
HAPPENED = (
    "FROM credits WHERE beside IS NOT NULL AND state = 'active'",
    "FROM credits WHERE beside IS NOT NULL AND state = 'reversed'",
    "FROM credits WHERE campaign = 'double' AND beside = 'double' AND state = 'active'",
    "FROM credits WHERE campaign = 'books' AND of_day IS NOT NULL",
    "FROM credits WHERE campaign = 'books' AND rule_id = 'books' AND state = 'reversed'",
    "FROM orders WHERE program_version = '1+books#1'",
    "FROM level_changes WHERE number > 1",
    "FROM game_runs WHERE revealed_at IS NOT NULL AND plays > 1",
    "FROM game_plays WHERE cut IS NOT NULL",
    "FROM game_mergers",
    "FROM board_periods WHERE closed_at IS NOT NULL AND paid_to = 2",
)


async def audited(services: Services, breaking: str | None = None, *, check: str | None = None) -> Audit:
    """Run all checks, or one, after the statement `breaking`; then roll it back."""
    checks = [candidate for candidate in CHECKS if check in (None, candidate.name)]
    async with services.db.connect() as conn, conn.begin() as change:
        if breaking is not None:
            await conn.execute(text(UNGUARDED))
            changed = await conn.execute(text(breaking))
            assert changed.rowcount > 0, "the statement changes rows"
        found = await audit_snapshot(conn, services.clock, checks=checks)
        await change.rollback()
    return found


async def test_a_full_history_passes_the_audit(full_history: Services) -> None:
    found = await audited(full_history)
    assert found.broken == []
    assert found.late == []
    kinds = await rows(full_history.db, "SELECT DISTINCT state FROM credits ORDER BY 1")
    assert [kind for (kind,) in kinds] == ["active", "pending", "reversed"]
    kinds = await rows(full_history.db, "SELECT DISTINCT kind FROM entries")
    assert {kind for (kind,) in kinds} == set(get_args(EntryKind))
    for table in ("holds", "coupons", "withdrawals"):
        found_states = await rows(full_history.db, f"SELECT DISTINCT state FROM {table}")
        assert len(found_states) >= 3
    for happened in HAPPENED:
        assert await rows(full_history.db, f"SELECT 1 {happened} LIMIT 1"), happened
    totals = await rows(full_history.db, "SELECT sum(active), sum(pending), count(*) FROM balances")
    assert totals == [(found.totals.active_points, found.totals.pending_points, found.totals.members)]


@pytest.mark.parametrize(("name", "breaking"), BROKEN)
async def test_a_broken_invariant_is_found(full_history: Services, name: str, breaking: str) -> None:
    (finding,) = (await audited(full_history, breaking, check=name)).broken
    assert finding.check.name == name
    assert finding.count >= len(finding.rows) > 0
    assert all(len(row) == len(finding.columns) for row in finding.rows)


@pytest.mark.parametrize(
    ("name", "status", "word"),
    [("answered_withdrawals_exist", 202, "method"), ("answered_redemptions_exist", 201, "redemption_id")],
)
async def test_a_kept_answer_is_known_by_its_fields_and_not_by_words_in_it(
    full_history: Services, name: str, status: int, word: str
) -> None:
    """A rule of a program may have any id."""
    keeping = f"""
        INSERT INTO idempotency_keys (caller, key, fingerprint, created_at, status, headers, body)
        VALUES ('member:playground:m-1', 'k', '', now(), {status}, '[]', convert_to(
            '{{"id":"019c0000-0000-7000-8000-000000000000","credits":[{{"rule":"{word}"}}]}}', 'UTF8'))
    """
    assert (await audited(full_history, keeping, check=name)).broken == []


@pytest.mark.parametrize(("name", "breaking"), LATE)
async def test_late_work_is_reported_and_breaks_nothing(
    full_history: Services, name: str, breaking: str
) -> None:
    found = await audited(full_history, breaking, check=name)
    assert [finding.check.name for finding in found.late] == [name]
    assert found.broken == []


def test_every_check_has_a_test_that_makes_it_fail() -> None:
    assert {check.name for check in CHECKS if not check.warning} == {name for name, _ in BROKEN}
    assert {check.name for check in CHECKS if check.warning} == {name for name, _ in LATE}


async def test_an_audit_sees_one_snapshot_while_points_move(settings: Settings) -> None:
    async with services_with_activities(settings, running_clock()) as services:
        for n in range(20):
            await join(services, f"m-{n}")
        stop = asyncio.Event()

        async def move() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                reviews = [(f"m-{m}", review(f"p-{n}", f"r-{n}-{m}")) for m in range(20)]
                await record(services, [act(services, done, member) for member, done in reviews])
                await settle_due(services, now=services.clock.now() + DAY)

        moving = asyncio.create_task(move())
        found = [await audit(settings)]
        while len(found) < 5 or found[-1].totals.credits == found[0].totals.credits:
            assert not moving.done()
            found.append(await audit(settings))
        stop.set()
        await moving
        assert [broken for result in found for broken in result.broken] == []


async def test_an_error_in_one_pass_ends_the_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = (Check("long", "", "SELECT pg_sleep(3600)"), Check("wrong", "", "SELECT 1 / 0 AS x"))
    monkeypatch.setattr(operations, "CHECKS", checks)
    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(DBAPIError, match="division by zero"):
            await audit(settings)


async def test_checks_of_the_same_rows_show_their_own_columns_and_the_first_rows(
    full_history: Services,
) -> None:
    rows_of = Rows("SELECT account, account * 2 AS twice, account % 2 = 0 AS even FROM balances")
    checks = (
        Check("all", "", rows=rows_of, broken="twice > 0", shown="account, twice"),
        Check("none", "", rows=rows_of, broken="twice < 0", shown="account"),
        Check("unknown", "", rows=rows_of, broken="NULL", shown="account"),
        Check("even", "", rows=rows_of, broken="even", shown="twice"),
        Check("alone", "", "SELECT 1 AS x"),
    )
    async with snapshot(full_history.db) as conn:
        found = (await audit_snapshot(conn, full_history.clock, checks=checks)).broken
    members = await rows(full_history.db, "SELECT program_id, member_id, account FROM balances")
    assert [finding.check.name for finding in found] == ["all", "even", "alone"]
    every, even, alone = found
    assert every.columns == ["program_id", "member_id", "account", "twice"]
    assert (every.count, len(every.rows)) == (len(members), ROWS_SHOWN)
    assert {row[:3] for row in every.rows} <= set(members)
    assert all(row[3] == 2 * row[2] for row in every.rows)
    assert even.columns == ["program_id", "member_id", "twice"]
    assert even.count == sum(account % 2 == 0 for _, _, account in members)  # type: ignore[operator]
    assert (alone.count, alone.columns, alone.rows) == (1, ["x"], [(1,)])
