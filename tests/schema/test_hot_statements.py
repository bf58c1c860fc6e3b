"""The statements that members and the shop cause most say whose rows they mean.

Where the tables are divided over several databases (`tests/schema/test_distribution.py`), a statement that
names the member or the account, or joins on them, reads the databases of these members alone.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Final

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.runtime.database import open_database
from engage.settings import Settings
from tests.schema.hot_path import DOCUMENTS, hot_statements
from tests.schema.test_distribution import DIVIDED_BY
from tests.support.clock import NOON, StoppedClock
from tests.support.plans import Plan, plans_of, unbound_tables
from tests.support.programs import services_with

# Besides by its member, a row is found by these columns, each with the road (docs/scaling.md).
ALSO_FOUND_BY: Final[Mapping[str, Mapping[str, str]]] = {
    "balances": {"account": "the row of a balance has both"},
    "order_owners": {"order_id": "a register by the order: another member may have paid it"},
    "shop_events": {"event_id": "a register by the event: the shop may send it again for another member"},
    "holds": {"id": "the shop names a hold by its id alone, and a merger may move it: a register by the id"},
    "members": {"merged_into": "who was merged into a member is written beside the survivor too"},
    "referral_codes": {"code": "a friend types a code and nothing else: a register by the code"},
    "referrals": {
        "advocate_id": "a referral has two members: what its advocate is shown is written beside them too",
        "id": "a reaction has read it by its friend, whom it can name with the id",
    },
}

# Kept answers are in one database, and named by who asks: a member, or a key of the shop.
CALLERS: Final = {"idempotency_keys": "caller"}
COLUMNS: Final[Mapping[str, Collection[str]]] = {
    table: {column, *ALSO_FOUND_BY.get(table, ())} for table, column in (DIVIDED_BY | CALLERS).items()
}

# What is due is looked for in each database by itself: parts of statements that begin with the rows of all
# members in a table. Whatever else they read is found by these rows.
OF_ALL_THAT_IS_DUE: Final[Mapping[str, tuple[str, str]]] = {
    "SELECT c.ctid AS place FROM stored_credits": (
        "stored_credits",
        "settlement takes credits that nobody holds",
    ),
    "pg_try_advisory_xact_lock(hashtextextended('settlement', 0))": (
        "stored_credits",
        "it waits for a balance in use",
    ),
    "SELECT ctid AS place, account": (
        "stored_credits",
        "it settles the credits that it has locked, by their places",
    ),
    "coalesce(c.lot_ends_at, c.expires_at) <=": (
        "stored_credits",
        "expiration takes members whose lots have ended",
    ),
    "DELETE FROM idempotency_keys WHERE created_at <": (
        "idempotency_keys",
        "answers that are old enough go, whoever asked",
    ),
}

# Parts of the statements that are about no member: that they are looked at says that the test has met them.
OF_NO_MEMBER: Final[Mapping[str, str]] = {
    "FROM api_keys": "each process reads all keys in use, from the copy of its database",
    "FROM member_changes": "a queue of what was committed in its database",
}


async def test_hot_statements_name_the_member(settings: Settings) -> None:
    clock = StoppedClock(NOON)
    async with services_with(settings, *DOCUMENTS, clock=clock) as services:
        sent = await hot_statements(services, clock)
        async with services.db.connect() as conn:
            plans = await plans_of(conn, sorted(sent))
    assert _unnamed(plans, COLUMNS) == {}
    for table, columns in ALSO_FOUND_BY.items():
        for column in columns:
            without = {**COLUMNS, table: set(COLUMNS[table]) - {column}}
            assert _unnamed(plans, without), f"no statement finds {table} by {column} any more"
    for part in (*OF_ALL_THAT_IS_DUE, *OF_NO_MEMBER):
        assert any(part in statement for statement in plans), f"no statement has this any more: {part}"


def _unnamed(plans: Mapping[str, Plan], columns: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """Return the statements that read a divided table without naming what divides it, with these tables."""
    found = {}
    for statement, plan in plans.items():
        free = [table for part, (table, _) in OF_ALL_THAT_IS_DUE.items() if part in statement]
        if tables := unbound_tables(plan, columns, free=free):
            found[statement] = tables
    return found


@pytest.fixture(scope="module")
async def planner(module_database: Settings) -> AsyncIterator[AsyncConnection]:
    db = open_database(module_database.database_url, pool_size=1)
    async with db.connect() as conn:
        yield conn
    await db.dispose()


@pytest.mark.parametrize(
    ("statement", "unbound"),
    [
        ("SELECT FROM credits WHERE program_id = $1 AND member_id = $2", set()),
        ("SELECT FROM balances JOIN unnest(CAST($1 AS text[])) AS of (member_id) USING (member_id)", set()),
        ("SELECT FROM holds WHERE program_id = $1 AND member_id = ANY($2)", set()),
        ("SELECT FROM orders WHERE order_id = $1", {"orders as orders"}),
        ("DELETE FROM coupons WHERE program_id = $1 AND member_id <> $2", {"coupons as coupons"}),
        ("SELECT FROM holds WHERE member_id = $1 OR order_id = $2", {"holds as holds"}),
        ("SELECT FROM holds WHERE member_id = lower(order_id)", {"holds as holds"}),
        ("SELECT FROM holds h JOIN coupons c USING (program_id, member_id)", {"holds as h", "coupons as c"}),
        (
            "SELECT FROM holds h JOIN coupons c USING (program_id, member_id) WHERE c.member_id = $1",
            set(),
        ),
        (
            "SELECT (SELECT count(*) FROM holds h WHERE h.order_id = o.order_id) "
            "FROM orders o WHERE member_id = $1",
            {"holds as h"},
        ),
        (
            "SELECT FROM holds WHERE member_id IN (SELECT member_id FROM orders)",
            {"orders as orders", "holds as holds"},
        ),
    ],
)
async def test_a_statement_that_does_not_name_the_member_is_found(
    planner: AsyncConnection, statement: str, unbound: set[str]
) -> None:
    plans = await plans_of(planner, [statement])
    assert unbound_tables(plans[statement], COLUMNS) == unbound
