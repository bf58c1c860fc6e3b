"""Each index serves a statement. Plans that were made for small tables stay fast when the tables grow."""

from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.runtime.database import open_database
from engage.runtime.services import Services
from engage.schema import metadata
from engage.settings import Settings
from tests.support.activities import services_with_activities
from tests.support.database import rows

# The columns of each index that a query over a whole table may use, in order.
INDEXES = """
SELECT i.indrelid::regclass::text, x.relname::text,
       array(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
  AND NOT i.indisprimary AND i.indpred IS NULL
"""


async def test_indexes_begin_with_the_program_only_before_the_member(settings: Settings) -> None:
    """In a small table the planner may choose an index that begins with the program instead of the primary
    key. In a large one, each lookup of a batch would then read all rows of the program.
    """
    services: Services
    async with services_with_activities(settings) as services:
        indexes = await rows(services.db, INDEXES)
    assert indexes
    wrong = [
        index
        for _, index, columns in indexes
        if isinstance(columns, list) and columns[0] == "program_id" and columns[1:2] != ["member_id"]
    ]
    assert wrong == []


# The statement that each index serves. It is planned with that index where no table is read as a whole.
SERVED = {
    "audit_log_seq": "store.audit_log._CHANGED",
    "backtest_gains_open": "store.backtests.gains._LOCK_OPEN",
    "backtest_parts_open": "store.backtests.parts._LOCK_OPEN",
    "backtests_granting": "store.backtests.jobs._LOCK_GRANTED",
    "backtests_running": "store.backtests.jobs._LOCK_UNPLANNED",
    "balances_account": "ledger.expire._LOCK",
    "board_periods_closing": "store.leaderboards.periods._LOCK_DUE",
    "board_scores_of_member": "store.leaderboards.scores._OF_MEMBERS",
    "board_scores_rank": "store.leaderboards.scores._TOP",
    "campaign_budget_returns_at": "store.campaigns.budgets._FOLD",
    "card_numbers_of_member": "store.referrals.traits._READ",
    "coupons_code": "store.rewards.coupons._BY_CODE",
    "coupons_ending": "store.rewards.coupons._EXPIRE",
    "coupons_of_hold": "store.rewards.coupons._USE",
    "credits_campaign": "store.campaigns.budgets._GRANTED",
    "credits_day_slot": "ledger.used_slots._USED",
    "credits_due": "ledger.settle._NEXT_DUE",
    "credits_expiring": "ledger.expire._LOCK",
    "credits_lapse": "ledger.confirmations._LOCK_LAPSING",
    "credits_left": "ledger.accounts._READ_LOTS",
    "credits_month_slot": "ledger.used_slots._USED",
    "credits_reference": "ledger.corrections._READ",
    "credits_source_key": "ledger.credits._USED_KEYS",
    "credits_status_due": "ledger.status._ACTIVATE",
    "credits_streak_seq": "ledger.streaks._NEWEST",
    "credits_waiting": "ledger.confirmations._LOCK_WAITING",
    "decisions_digest": "ledger.decisions._READ",
    "draw_entries_of_member": "store.draws.draws._ENTERED",
    "draw_entries_unpaid": "store.draws.drawing._UNPAID",
    "draw_list_winners": "store.draws.drawing._WINNERS",
    "draws_asking": "store.draws.drawing._LOCK_ASKING",
    "draws_closing": "store.draws.drawing._LOCK_CLOSING",
    "entries_of_hold": "ledger.accounts._READ_TAKES",
    "game_plays_of_member": "store.games.plays._SO_FAR",
    "game_runs_ending": "store.games.runs._LOCK_ENDED",
    "holds_by_id": "ledger.holds._BY_ID",
    "holds_of_order": "ledger.holds._OF_ORDERS",
    "holds_open": "ledger.holds._LOCK_OVERDUE",
    "idempotency_keys_age": "store.idempotency._DELETE",
    "members_birthday": "store.members.birthdays._DUE",
    "members_merged": "store.challenges.facts._READ",
    "members_person": "store.members.members._OF_PERSONS",
    "members_phone": "store.referrals.traits._READ",
    "members_without_birthday": "store.members.birthdays._UNKNOWN",
    "quiz_attempts_open": "store.quizzes.attempts._USED",
    "quiz_attempts_place": "store.quizzes.attempts._USED",
    "held_credits_deciding": "store.protection.decisions._WAITING",
    "held_credits_of_suspicion": "store.protection.decisions._SET",
    "referrals_due": "store.referrals.referrals._DUE",
    "referrals_of_advocate": "store.referrals.referrals._COUNTS",
    "referrals_of_friend": "store.referrals.referrals._KNOWN",
    "referrals_queue": "store.referrals.referrals._TOUCHED",
    "reward_waiting_number": "store.rewards.waiting._FIRST",
    "reward_waiting_turn": "store.rewards.waiting._NEXT_END",
    "segment_members_listed": "store.segments.segments._READ",
    "shop_events_of_member": "store.backtests.known._ORDERS",
    "suspicions_newest": "store.protection.decisions._NEXT_DELETE",
    "tiers_kept_until": "store.tiers.levels._DUE",
    "velocity_places_ends": "store.protection.places._DELETE",
    "withdrawals_by_id": "store.withdrawals.withdrawals._WRITE",
    "withdrawals_open": "store.withdrawals.withdrawals._DUE",
    "withdrawals_to_number": "store.withdrawals.withdrawals._DAY_TOTALS",
    "withdrawals_uncompared": "store.withdrawals.reconciliation._DIFFERENT",
}

# Those of queries that are built when they are run.
ASKED_BY = {
    "audit_log_of_subject": "store.audit_log.read_page",
    "campaign_alerts_unpublished": "store.campaigns.budgets.publish_alerts",
    "corrections_of_member": "store.members.corrections.read_requested",
    "corrections_requested": "store.members.corrections.list_corrections",
    "member_changes_at": "store.member_changes.lock",
    "members_closed": "store.members.members.read_closed_members",
    "operator_sessions_age": "store.operators.sessions.delete_idle",
    "operator_sessions_of_operator": "store.operators.sessions.end_all",
    # One of two ways to find a member's coupons, where there are many.
    "coupons_passed": "store.rewards.coupons.list_coupons",
    # Erasures and mergers walk over the rows of a member.
    "referral_codes_of_member": "store.members.closing.erase_rows",
    "suspicion_decisions_of": "store.protection.decisions.read_decisions",
    "velocity_places_of_member": "store.members.closing.erase_rows",
}

# Those that are there for what they refuse.
UNIQUE = {
    "operators_email": "No two operators have one address.",
    "referral_codes_current": "A member has one code at a time.",
    "velocity_places_once": "A member, or an activity of a member, has one place in a window.",
}

GENERIC_PLAN = """
CREATE FUNCTION pg_temp.generic_plan(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (GENERIC_PLAN, COSTS OFF) ' || statement;
END $$
"""


def of_engage(path: str) -> Any:
    module, name = path.rsplit(".", 1)
    return getattr(import_module(f"engage.{module}"), name)


def statement(path: str) -> TextClause:
    found = of_engage(path)
    found = found._statement if isinstance(found, DirectStatement) else found
    assert isinstance(found, TextClause)
    return found


def test_every_index_is_asked_for() -> None:
    """An index that no statement needs costs bytes and time in every row that is written."""
    declared = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    assert declared | {"members_person"} == SERVED.keys() | ASKED_BY.keys() | UNIQUE.keys()
    assert len(SERVED) + len(ASKED_BY) + len(UNIQUE) == len(declared) + 1
    assert all(callable(of_engage(path)) for path in ASKED_BY.values())


@pytest.fixture(scope="module")
async def planner(module_database: Settings) -> AsyncIterator[AsyncConnection]:
    db = open_database(module_database.database_url, pool_size=1)
    async with db.connect() as conn:
        await conn.execute(text(GENERIC_PLAN))
        await conn.execute(text("SET enable_seqscan = off"))
        yield conn
    await db.dispose()


async def plan_of(planner: AsyncConnection, path: str) -> list[str]:
    sql = statement(path).compile(dialect=dialect()).string  # type: ignore[no-untyped-call]  # SQLAlchemy's.
    plan = await planner.execute(text("SELECT * FROM pg_temp.generic_plan(:sql)"), {"sql": sql})
    return list(plan.scalars())


@pytest.mark.parametrize(("index", "path"), SERVED.items())
async def test_an_index_serves_its_statement(planner: AsyncConnection, index: str, path: str) -> None:
    lines = await plan_of(planner, path)
    assert any(f" {index} " in f"{line} " for line in lines), "\n".join(lines)


async def test_readiness_does_not_read_all_credits(planner: AsyncConnection) -> None:
    """It looks for overdue points and for overdue status, each through the index of pending ones."""
    lines = await plan_of(planner, "flows.operations.health._WRITE")
    for index in ("credits_due", "credits_status_due"):
        assert any(f" {index} " in line for line in lines), "\n".join(lines)
    assert not any("Seq Scan on stored_credits" in line for line in lines), "\n".join(lines)


# The gauges that workers read every ten seconds, and the indexes that each needs.
GAUGES = {
    "_PENDING": ["credits_due"],
    "_OVERDUE": ["credits_due", "balances_account"],
    "_OUTBOX": ["outbox_pkey"],
    "_REACTIONS": ["member_changes_at"],
    "_PAYOUTS": ["withdrawals_open"],
}


@pytest.mark.parametrize(("name", "indexes"), GAUGES.items())
async def test_a_gauge_reads_a_bounded_part_of_an_index(
    planner: AsyncConnection, name: str, indexes: list[str]
) -> None:
    """Without a sort: it ends after the first rows, however many there are."""
    lines = await plan_of(planner, f"flows.operations.gauges.{name}")
    for index in indexes:
        assert any(f" {index} " in f"{line} " for line in lines), "\n".join(lines)
    assert not any("Seq Scan" in line for line in lines), "\n".join(lines)
    below_limit = lines[next(n for n, line in enumerate(lines) if "Limit" in line) :]
    assert not any("Sort" in line for line in below_limit), "\n".join(lines)
