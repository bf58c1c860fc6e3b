"""Taps that are decided alike share their decision; what only one member has stays with them."""

import asyncio

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from engage.domain.earning.decide import decide
from engage.domain.earning.slots import Grant, wanted
from engage.domain.program import parse
from engage.flows.activities.record import record
from engage.ledger.decisions import store_decisions
from engage.runtime import shared_decisions
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from tests.support.activities import FIRST, act, join, perform, review, tap
from tests.support.clock import DAY, NOON, advance
from tests.support.database import rows

# Of taps alone: whether the credit has its own `why`.
OWN = "SELECT decision IS NULL FROM stored_credits WHERE rule_id = 'fuel' ORDER BY account, activity_at"
READ = "SELECT why FROM credits WHERE rule_id = 'fuel' ORDER BY member_id"


async def join_all(services: Services, *members: str) -> None:
    for member in members:
        await join(services, member)


async def tap_together(services: Services, *members: str) -> None:
    await record(services, [act(services, tap(), member) for member in members])


async def test_taps_of_one_batch_share_a_decision(services: Services) -> None:
    await join_all(services, "m-1", "m-2", "m-3")
    await tap_together(services, "m-1", "m-2", "m-3")
    assert await rows(services.db, OWN) == [(False,)] * 3
    assert await rows(services.db, "SELECT count(*) FROM decisions") == [(1,)]
    (one, *others) = [row[0] for row in await rows(services.db, READ)]
    assert isinstance(one, dict)
    assert (one["rule"], one["activity"], one["inputs"]["streak_days"]) == (
        "fuel",
        {"activity": "fuel_tap"},
        1,
    )
    assert others == [one, one]


async def test_a_decision_is_shared_from_the_second_time_on(services: Services) -> None:
    await join_all(services, "m-1", "m-2", "m-3")
    for member in ("m-1", "m-2", "m-3"):
        await perform(services, tap(), member)
    assert await rows(services.db, OWN) == [(True,), (False,), (False,)]
    alone, second, third = (row[0] for row in await rows(services.db, READ))
    assert isinstance(alone, dict)
    assert isinstance(second, dict)
    assert alone | {"at": ""} == second | {"at": ""}, "the same, stored in another way"
    assert [at["at"][-1] for at in (alone, second)] == ["Z", "Z"], "written alike"
    assert second == third


async def test_the_instant_of_each_tap_is_its_own(services: Services) -> None:
    await join_all(services, "m-1", "m-2")
    first = act(services, tap(), "m-1")
    advance(services, DAY / 1_000)
    await record(services, [first, act(services, tap(), "m-2")])
    assert await rows(services.db, "SELECT count(*) FROM decisions") == [(1,)]
    instants = "SELECT CAST(why ->> 'at' AS timestamptz) = activity_at, activity_at FROM credits c"
    found = await rows(services.db, f"{instants} WHERE rule_id = 'fuel' ORDER BY member_id")
    assert [row[0] for row in found] == [True, True]
    assert found[0][1] != found[1][1]


async def test_what_names_something_of_a_member_is_not_shared(services: Services) -> None:
    await join_all(services, "m-1", "m-2")
    await record(services, [act(services, review("p", "r"), member) for member in ("m-1", "m-2")])
    shared = "SELECT count(decision) FROM stored_credits WHERE rule_id = 'review'"
    assert await rows(services.db, shared) == [(0,)]


async def test_processes_that_store_a_decision_at_once_get_the_same(services: Services) -> None:
    whys = [f'{{"version": "v", "at": "{n % 3}", "n": {n % 5}}}' for n in range(15)]

    async def store() -> list[int]:
        async with one_statement(services.db) as conn:
            return await store_decisions(conn, whys)

    numbers = await asyncio.gather(*(store() for _ in range(4)))
    assert numbers == [numbers[0]] * 4
    assert len(set(numbers[0])) == 5, "the instant makes no other decision"


async def test_a_server_that_never_got_a_decision_gets_it_again(services: Services) -> None:
    """A standby became the primary. The numbers of what it lost are those of other decisions there."""
    await join_all(services, "m-1", "m-2", "m-3", "m-4")
    await tap_together(services, "m-1", "m-2")
    (number,) = await rows(services.db, "SELECT id FROM decisions")
    async with services.db.begin() as conn:
        await conn.execute(text("DELETE FROM decisions"))
    newest = services.primary.newest
    assert newest is not None
    services.primary.newest = replace(newest, number=newest.number - 1)
    await services.db.dispose()
    async with one_statement(services.db) as conn:
        await conn.execute(text("ALTER TABLE decisions ALTER id RESTART"))
        assert (await store_decisions(conn, ['{"version": "other"}']),) == (list(number),)
    await tap_together(services, "m-3", "m-4")
    later = "SELECT why ->> 'rule' FROM credits WHERE rule_id = 'fuel' AND member_id IN ('m-3', 'm-4')"
    assert await rows(services.db, later) == [("fuel",)] * 2


async def test_memory_is_bounded(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_decisions, "KEPT", 1)
    terms = parse.parse(FIRST, source="playground").earning
    today, tomorrow = (
        decide(terms, tap(), at=at, zone="UTC", grants=[Grant(slot, 1) for slot in slots])[0]
        for at in (NOON, NOON + DAY)
        for slots in [wanted(terms, tap(), at=at, zone="UTC")]
    )
    shared = shared_decisions.SharedDecisions(services.db)
    await shared.share([today, today])
    assert shared.number_of(today) == 1
    await shared.share([tomorrow, tomorrow])
    assert (shared.number_of(today), shared.number_of(tomorrow)) == (None, 2)
    await shared.share([today])
    assert shared.number_of(today) is None, "made once since it was forgotten"
    await shared.share([today])
    assert shared.number_of(today) == 1, "the one that is stored"
