"""The statements that members and the shop cause most say whose rows they mean.

Where the tables are divided over several databases (`tests/schema/test_distribution.py`), a statement that
names the member or the account, or joins on them, reads the databases of these members alone. Each statement
is planned by PostgreSQL, and every table that it reads is looked for in the conditions of the plan.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

from engage.flows.programs.publish import publish
from engage.flows.reads.balances import read_balances
from engage.flows.scheduled.expire import expire_due
from engage.flows.scheduled.settle import settle_due
from tests.api.calling import Calling
from tests.api.test_checkout_controllers import HOLDS, end, order
from tests.api.test_order_events import event, joined, send
from tests.api.test_order_events import order as ordered
from tests.schema.test_distribution import DIVIDED_BY
from tests.support.checkout import DOCUMENT, SPENDING, member_with_points
from tests.support.statements import sent_statements

CONDITIONS: Final = ("Index Cond", "Recheck Cond", "Filter", "Hash Cond", "Merge Cond", "Join Filter")
# Besides their own column, these are found by the other: both are in the row of the balance.
NUMBERED: Final = ("balances",)

# Parts of statements that look at all members, each with its reason.
OF_ALL_MEMBERS: Final = {
    "AS place": "settlement takes what is due, in each database by itself",
}


async def test_hot_statements_name_the_member(api: Calling) -> None:
    unnamed = {}
    for statement in sorted(await _hot_statements(api)):
        if not any(part in statement for part in OF_ALL_MEMBERS) and (
            missing := sorted(_read_without_member(await _plan(api, statement)))
        ):
            unnamed[statement] = missing
    assert unnamed == {}


async def _hot_statements(api: Calling) -> set[str]:
    """Let a member tap and look, an order be paid and returned, points be due, be spent and expire."""
    services, now = api.services, api.services.clock.now()
    buyer = await joined(api, "buyer-of-statements")
    member = await api.joined()
    await publish(services.db, DOCUMENT, source="spending", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    spender = api.member_of(SPENDING, await member_with_points(services, 300, f"s-{uuid4().hex[:8]}"))
    with sent_statements(services.db) as sent:
        assert (await member.post("/v1/fuel/taps")).status_code == 202
        assert (await member.post("/v1/fuel/taps")).status_code == 409
        assert (await member.get("/v1/me")).status_code == 200
        for kind, facts in (
            ("order.paid", ordered("o-s")),
            ("order.delivered", {"order_id": "o-s"}),
            ("order.returned", {"order_id": "o-s", "return_id": "r-s"}),
        ):
            assert await send(api, event(kind, buyer.member_id, now.isoformat(), **facts)) == []
            await settle_due(services, now=now)
        held = await api.shop.post(HOLDS, order(spender, "o-h", points=100))
        assert held.status_code == 201, held.text
        assert (await end(api, held.json(), "capture")).status_code == 200
        await expire_due(services, now=now)
        await read_balances(services, [(SPENDING, spender.member_id)])
    statements = {each for each in sent if not each.lstrip().upper().startswith("SET")}
    for verb in ("stored_credits", "stored_entries", "orders", "holds", "balances"):
        assert any(verb in each for each in statements), f"no statement about {verb} was seen"
    return statements


async def _plan(api: Calling, statement: str) -> dict[str, Any]:
    async with api.services.db.connect() as conn:
        driver = (await conn.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute(f"PREPARE hot AS {statement}")
        try:
            count = max(map(int, re.findall(r"\$(\d+)", statement)), default=0)
            values = f"({', '.join(['NULL'] * count)})" if count else ""
            await driver.execute("SET plan_cache_mode = force_generic_plan")
            found = await driver.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE hot{values}")
        finally:
            await driver.execute("DEALLOCATE hot")
        plan: dict[str, Any] = found[0]["Plan"]
        return plan


def _read_without_member(plan: dict[str, Any]) -> Iterator[str]:
    """The tables of a plan that are scanned without a condition on what divides them."""
    nodes = list(_nodes(plan))
    conditions = " ".join(str(node[name]) for node in nodes for name in CONDITIONS if name in node)
    for node in nodes:
        table = node.get("Relation Name")
        if table in DIVIDED_BY and "Scan" in node["Node Type"]:
            column = DIVIDED_BY[table]
            columns = (column, "account") if table in NUMBERED else (column,)
            names = "|".join(columns)
            if not re.search(rf"\b{node['Alias']}\.({names})\b", conditions):
                yield f"{table} as {node['Alias']}"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)
