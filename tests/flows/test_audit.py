"""The audit finds each broken promise, and nothing in a database that is merely busy."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from engage.clock import Clock
from engage.domain.activity import AnyActivity
from engage.flows.audit import CHECKS, Audit, audit, audit_snapshot
from engage.flows.parts import Parts
from engage.flows.record_activity import record
from engage.flows.settle import settle_due
from engage.flows.shop_events import take_events
from engage.settings import Settings
from tests.playing import (
    DAY,
    act,
    advance,
    join,
    link,
    playing,
    review,
    review_removed,
    rows,
    share_removed,
    signed_in,
    social,
    tap,
)

MEMBERS = ["m-1", "m-2", "m-3"]

# What keeps broken rows out, taken away: an audit must not rely on it.
UNGUARDED = """
DO $$
DECLARE guard record;
BEGIN
    FOR guard IN
        SELECT conrelid::regclass AS of, conname AS name FROM pg_constraint
        WHERE contype IN ('c', 'f', 'u', 'p') AND connamespace = 'public'::regnamespace
        ORDER BY array_position(ARRAY['f', 'c', 'u', 'p'], contype::text)
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', guard.of, guard.name);
    END LOOP;
    DROP INDEX credits_source_key, credits_reference;
END $$
"""

FUEL = "(SELECT id FROM credits WHERE member_id = 'm-1' AND rule_id = 'fuel' AND state = 'active' LIMIT 1)"
PENDING = "(SELECT id FROM credits WHERE state = 'pending' LIMIT 1)"
REVERSED = "(SELECT credit_id FROM entries WHERE kind = 'clawback' LIMIT 1)"
LAST = "(member_id, seq) = (SELECT member_id, max(seq) FROM entries WHERE member_id = 'm-1' GROUP BY 1)"

BROKEN = [
    ("entries_balance", f"UPDATE entries SET active_delta = active_delta + 1 WHERE {LAST}"),
    ("entries_balance", f"UPDATE entries SET debt_delta = 3 WHERE {LAST}"),
    ("programs_balance", f"UPDATE entries SET house_delta = house_delta + 5 WHERE {LAST}"),
    ("balances_are_sums", "UPDATE balances SET active = active + 1 WHERE member_id = 'm-1'"),
    ("balances_are_sums", "UPDATE balances SET held = 1 WHERE member_id = 'm-1'"),
    ("balances_are_sums", "UPDATE balances SET debt = 1 WHERE member_id = 'm-1'"),
    ("balances_are_sums", "DELETE FROM entries WHERE member_id = 'm-1'"),
    ("pending_is_sum", "UPDATE balances SET pending = pending + 1 WHERE member_id = 'm-3'"),
    ("pending_is_sum", f"DELETE FROM credits WHERE id = {PENDING}"),
    ("statement_adds_up", f"UPDATE entries SET balance_after = balance_after + 1 WHERE {LAST}"),
    ("statement_adds_up", "UPDATE entries SET seq = 1000 - seq WHERE member_id = 'm-1'"),
    ("seq_is_its_own", "UPDATE entries SET seq = 7 WHERE member_id = 'm-1' AND seq < 7"),
    ("versions_lead", f"UPDATE entries SET seq = seq + 1000 WHERE {LAST}"),
    ("versions_lead", "UPDATE balances SET version = 1 WHERE member_id = 'm-1'"),
    ("earned_once", f"DELETE FROM entries WHERE credit_id = {FUEL}"),
    ("earned_once", f"DELETE FROM lots WHERE credit_id = {FUEL}"),
    ("earned_once", f"UPDATE entries SET active_delta = 9, house_delta = -9 WHERE credit_id = {FUEL}"),
    ("earned_once", f"INSERT INTO entries SELECT * FROM entries WHERE credit_id = {FUEL}"),
    ("earned_once", f"INSERT INTO lots SELECT * FROM lots WHERE credit_id = {FUEL}"),
    ("earned_once", f"UPDATE lots SET points = points + 1 WHERE credit_id = {FUEL}"),
    ("earned_once", f"UPDATE credits SET state = 'pending' WHERE id = {FUEL}"),
    ("earned_once", f"UPDATE credits SET state = 'active' WHERE id = {PENDING}"),
    ("earned_once", f"UPDATE credits SET state = 'active', active_at = due_at WHERE id = {PENDING}"),
    ("taken_back_once", f"DELETE FROM entries WHERE kind = 'clawback' AND credit_id = {REVERSED}"),
    ("taken_back_once", "INSERT INTO entries SELECT * FROM entries WHERE kind = 'clawback'"),
    ("taken_back_once", "UPDATE entries SET corrects = corrects + 1 WHERE kind = 'clawback'"),
    ("taken_back_once", "UPDATE entries SET corrects = NULL WHERE kind = 'clawback'"),
    ("taken_back_once", f"UPDATE lots SET remaining = 1 WHERE credit_id = {REVERSED}"),
    ("taken_back_once", f"UPDATE credits SET state = 'active' WHERE id = {REVERSED}"),
    ("taken_back_once", f"UPDATE credits SET state = 'reversed' WHERE id = {FUEL}"),
    ("never_early", f"UPDATE credits SET due_at = active_at + interval '1 us' WHERE id = {FUEL}"),
    ("never_early", f"UPDATE credits SET accepted_at = active_at + interval '1 us' WHERE id = {FUEL}"),
    ("never_early", f"UPDATE entries SET at = at - interval '1 day' WHERE credit_id = {FUEL}"),
    ("lots_cover_balances", f"UPDATE lots SET remaining = 0 WHERE credit_id = {FUEL}"),
    (
        "withdrawals_have_holds",
        """
        INSERT INTO withdrawals (program_id, member_id, id, hold_id, state, method, points, amount_minor,
                                 currency, requested_at)
        VALUES ('playground', 'm-1', uuidv7(), uuidv7(), 'settled', 'cash', 1, 100, 'EUR', now())
        """,
    ),
    ("lots_match_credits", f"UPDATE lots SET expires_at = NULL WHERE credit_id = {FUEL}"),
    (
        "lots_match_credits",
        f"UPDATE lots SET active_at = active_at - interval '1 s' WHERE credit_id = {FUEL}",
    ),
    ("lots_match_credits", f"UPDATE lots SET entry_seq = entry_seq + 1 WHERE credit_id = {FUEL}"),
    ("lots_match_credits", f"UPDATE lots SET credit_id = uuidv7() WHERE credit_id = {FUEL}"),
    ("entries_have_credits", f"UPDATE entries SET credit_id = uuidv7() WHERE credit_id = {FUEL}"),
    ("rows_have_members", "DELETE FROM members WHERE member_id = 'm-2'"),
    ("rows_have_members", "INSERT INTO card_numbers VALUES ('playground', '1234', 'nobody')"),
    ("rows_have_members", "UPDATE shop_events SET member_id = 'nobody'"),
    ("members_have_balances", "DELETE FROM balances WHERE member_id = 'm-2'"),
    ("keys_are_used_once", f"INSERT INTO credits SELECT * FROM credits WHERE id = {FUEL}"),
    ("keys_are_used_once", "UPDATE credits SET reference = 'share:s' WHERE rule_id = 'share_link'"),
    ("credits_have_rules", f"UPDATE credits SET rule_id = 'other' WHERE id = {FUEL}"),
    ("credits_have_rules", f"UPDATE credits SET program_version = 'third' WHERE id = {FUEL}"),
    (
        "credits_have_rules",
        "UPDATE credits SET source_key = 'share_link:2026-11:1' WHERE rule_id = 'share_link'",
    ),
    ("credits_have_rules", "UPDATE credits SET source_key = source_key || '0' WHERE rule_id = 'share_any'"),
    ("credits_have_rules", "UPDATE credits SET source_key = 'review' WHERE rule_id = 'review'"),
    (
        "limits_hold",
        """
        INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                             activity_at, accepted_at, why)
        SELECT program_id, member_id, uuidv7(), source_key, rule_id, program_version, points, state,
               activity_at, accepted_at, why
        FROM credits WHERE rule_id = 'share_social'
        """,
    ),
    (
        "streaks_are_consecutive",
        "DELETE FROM credits WHERE member_id = 'm-1' AND source_key = 'fuel:2026-11-22'",
    ),
    (
        "streaks_are_consecutive",
        f"UPDATE credits SET why = jsonb_set(why, '{{inputs,streak_days}}', '5') WHERE id = {FUEL}",
    ),
    ("shared_slots", "DELETE FROM credits WHERE member_id = 'm-1' AND source_key = 'fuel:2026-11-23'"),
    ("shared_slots", "DELETE FROM credits WHERE rule_id = 'share_any'"),
]

LATE = [
    (
        "streaks_go_on",
        """
        UPDATE credits SET why = jsonb_set(why, '{inputs,streak_days}', '1')
        WHERE member_id = 'm-1' AND source_key = 'fuel:2026-11-23'
        """,
    ),
    (
        "settled_in_time",
        "UPDATE credits SET due_at = accepted_at - interval '2 minutes' WHERE state = 'pending'",
    ),
    (
        "told_in_time",
        """
        INSERT INTO outbox VALUES (
            uuidv7(), now() - interval '2 minutes', 'active', ARRAY['playground'], ARRAY['m-1']
        )
        """,
    ),
]


async def be_busy(parts: Parts) -> None:
    """Three members through five days: everything that can happen to a credit."""
    for member, country in zip(MEMBERS, ("ES", "GB", "NZ"), strict=True):
        await join(parts, member, country)
    for day in range(5):
        for member in MEMBERS[: 3 - day % 2]:
            activities: list[AnyActivity] = [tap(), tap(), review(f"p-{day}", f"r-{day}")]
            activities += [link(f"l-{day}"), link(f"l-{day}"), social(f"s-{day}"), social()]
            await record(parts, [act(parts, activity, member) for activity in activities])
        member = MEMBERS[day % 2]
        await take_events(parts, [signed_in(parts, member), review_removed(parts, f"r-{day}", member)])
        await settle_due(parts, now=advance(parts, timedelta(hours=2)))
        await take_events(
            parts,
            [share_removed(parts, f"l-{day - 1}", member), review_removed(parts, f"r-{day + 3}", member)],
        )
        advance(parts, DAY - timedelta(hours=2))
    await record(parts, [act(parts, tap(), member) for member in MEMBERS])
    await parts.after.drain()


@pytest.fixture(scope="module")
async def busy(module_database: Settings) -> AsyncIterator[Parts]:
    async with Redis.from_url(module_database.state_url) as valkey:
        await valkey.flushall()
    async with playing(module_database) as parts:
        await be_busy(parts)
        yield parts


async def audited(parts: Parts, breaking: str | None = None) -> Audit:
    """As the database would be after that, which is then taken back."""
    async with parts.db.connect() as conn, conn.begin() as change:
        if breaking is not None:
            await conn.execute(text(UNGUARDED))
            changed = await conn.execute(text(breaking))
            assert changed.rowcount > 0, "there was nothing to break"
        found = await audit_snapshot(conn, parts.clock)
        await change.rollback()
    return found


async def test_a_busy_database_is_clean(busy: Parts) -> None:
    found = await audited(busy)
    assert found.broken == []
    assert found.late == []
    kinds = await rows(busy.db, "SELECT DISTINCT state FROM credits ORDER BY 1")
    assert [kind for (kind,) in kinds] == ["active", "pending", "reversed"]
    totals = await rows(busy.db, "SELECT sum(active), sum(pending), count(*) FROM balances")
    assert totals == [(found.totals.active_points, found.totals.pending_points, found.totals.members)]


@pytest.mark.parametrize(("name", "breaking"), BROKEN)
async def test_a_broken_promise_is_found(busy: Parts, name: str, breaking: str) -> None:
    found = await audited(busy, breaking)
    findings = {finding.check.name: finding for finding in found.broken}
    assert name in findings, sorted(findings)
    assert findings[name].count >= len(findings[name].rows) > 0
    assert all(len(row) == len(findings[name].columns) for row in findings[name].rows)


@pytest.mark.parametrize(("name", "breaking"), LATE)
async def test_what_is_late_is_told_and_breaks_nothing(busy: Parts, name: str, breaking: str) -> None:
    found = await audited(busy, breaking)
    assert name in {finding.check.name for finding in found.late}
    assert name not in {finding.check.name for finding in found.broken}


def test_every_check_has_been_seen_to_fail() -> None:
    assert {check.name for check in CHECKS if not check.warning} == {name for name, _ in BROKEN}
    assert {check.name for check in CHECKS if check.warning} == {name for name, _ in LATE}


async def test_an_audit_sees_one_moment_while_points_move(settings: Settings) -> None:
    async with playing(settings, Clock()) as parts:
        for n in range(20):
            await join(parts, f"m-{n}")
        stop = asyncio.Event()

        async def move() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                await record(parts, [act(parts, link(f"s-{n}-{m}"), f"m-{m}") for m in range(20)])
                await settle_due(parts, now=parts.clock.now() + DAY)

        moving = asyncio.create_task(move())
        found = [await audit(settings) for _ in range(5)]
        stop.set()
        await moving
        assert [broken for each in found for broken in each.broken] == []
        assert found[-1].totals.credits > found[0].totals.credits
