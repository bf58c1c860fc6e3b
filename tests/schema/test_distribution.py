"""The way in which tables can be divided over several databases (docs/scaling.md), read from the catalogue.

A table is divided by the member, or by the account, which is the member's number in the ledger; or it is
copied to every database, being small and rarely written; or one database has the whole of it. A key that does
not contain what divides its table cannot be kept by one of several databases alone: each has its reason here.
"""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.runtime.database import open_database, transaction
from engage.schema import metadata
from engage.settings import Settings

MEMBER, ACCOUNT = "member_id", "account"

DIVIDED_BY: Final = {
    **dict.fromkeys(("stored_credits", "stored_entries"), ACCOUNT),
    **dict.fromkeys(
        (
            *("adjustments", "balances", "challenge_gifts", "closings", "confirmations", "coupons"),
            *(
                "display_names",
                "held_credits",
                "holds",
                "level_changes",
                "lot_moves",
                "member_traits",
                "members",
                "orders",
            ),
            *("payee_numbers", "quiz_attempts", "reductions", "segment_members", "tiers", "withdrawals"),
            *("backtest_gains", "board_scores", "draw_entries", "game_plays", "referrals", "reward_waiting"),
            *("card_numbers", "order_owners", "referral_codes", "shop_events", "corrections"),
        ),
        MEMBER,
    ),
}

# Written by operators, or once for very many members. Every database has a copy.
COPIED: Final = {
    *("api_keys", "operators", "program_versions", "definitions", "campaign_versions", "campaign_actions"),
    *("segments", "segment_versions", "draws", "game_runs", "game_prizes", "game_certificates"),
    *("game_mergers", "board_periods", "backtests", "sandbox_clock"),
    "decisions",  # One for all taps of a day, a market and a length of a streak; 2,000 a day in 100 markets.
}

WHOLE: Final = {
    "operator_sessions": "of the console, which is one installation",
    "audit_log": "one chain: each entry seals those before it",
    "audit_log_head": "the end of that chain",
    "idempotency_keys": "keyed by the caller, whose requests may be about several members",
    "outbox": "a queue; each database has its own, for the changes that it commits",
    "member_changes": "a queue; each database has its own, for its members",
    "person_slots": "keyed by the person, who may have several members",
    "campaign_budgets": "a budget of all members, in slices",
    "campaign_budget_slices": "as many as may be taken at once; a database can be given its own",
    "campaign_budget_returns": "what goes back to these slices",
    "campaign_alerts": "about a budget of all members",
    "reward_stock": "a stock of all members; one row a reward",
    "backtest_parts": "ranges of members; each database has those of its own",
    "suspicions": "of a device or a network, which several members may have",
    "suspicion_decisions": "operators decide one for all its members",
    "velocity_places": "counts members of a device or a network",
    "draw_list": "the published list of a draw, in the order of its places",
}

# Unique keys of divided tables without what divides them: (table, columns), with the reason and the road.
ACROSS: Final = {
    ("balances", "account"): "numbers from a sequence; each database can have a range of its own",
    ("card_numbers", "program_id, card_number"): "one holder; divided by the number instead, as a register",
    ("corrections", "id"): "a random UUID, which no two databases make; operators name it alone",
    ("coupons", "code, program_id"): "a random code; a register by the code says whose it is",
    ("draw_entries", "program_id, draw_id, number"): "numbers without gaps; one database has a draw",
    ("game_plays", "program_id, game_id, run, number"): "numbers without gaps; one database has a run",
    ("members", "person_hash, program_id"): "one membership a person; a register by the person",
    ("order_owners", "program_id, order_id"): "one payer an order; a register by the order",
    ("referral_codes", "program_id, code"): "a register by the code",
    ("referrals", "id"): "a random UUID, which no two databases make",
    ("shop_events", "program_id, event_id"): "ids of the shop; a register by the id",
}

_UNIQUE_KEYS = text("""
SELECT c.relname, array_agg(a.attname::text ORDER BY k.place)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place) ON k.place <= i.indnkeyatts
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace
GROUP BY i.indexrelid, c.relname
""")
_REFERENCES = text("""
SELECT c.conrelid::regclass::text, c.confrelid::regclass::text, array_agg(a.attname::text)
FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey)
WHERE c.contype = 'f' GROUP BY c.oid, c.conrelid, c.confrelid
""")


@pytest.fixture
async def db(own_database: Settings) -> AsyncIterator[AsyncEngine]:
    opened = open_database(own_database.database_url, pool_size=1)
    yield opened
    await opened.dispose()


@pytest.fixture
async def conn(db: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with transaction(db) as opened:
        yield opened


def test_every_table_has_its_place() -> None:
    places = [set(DIVIDED_BY), COPIED, set(WHOLE)]
    assert sum(map(len, places)) == len(set().union(*places)), "a table has one place"
    assert set().union(*places) == {table.name for table in metadata.tables.values()}
    for name, column in DIVIDED_BY.items():
        assert not metadata.tables[name].c[column].nullable or name == "shop_events", name


async def test_unique_keys_contain_what_divides_their_table_or_are_listed(conn: AsyncConnection) -> None:
    across = set()
    for table, columns in (await conn.execute(_UNIQUE_KEYS)).all():
        if table in DIVIDED_BY and DIVIDED_BY[table] not in columns:
            across.add((table, ", ".join(column or "(expression)" for column in columns)))
    assert across == set(ACROSS)


async def test_references_stay_in_one_database(conn: AsyncConnection) -> None:
    for table, referred, columns in (await conn.execute(_REFERENCES)).all():
        within = DIVIDED_BY.get(table) == DIVIDED_BY.get(referred)
        assert referred in COPIED or (within and DIVIDED_BY.get(table, columns[0]) in columns), table
