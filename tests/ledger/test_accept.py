"""Credits are accepted exactly once, from any number of connections."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.decide import decide
from engage.domain.earning.limits import DailyStreak, StreakSlot
from engage.domain.earning.slots import Grant, wanted
from engage.domain.program import parse
from engage.ledger.accept import CreditToAccept, accept
from engage.ledger.accounts import post
from engage.ledger.balances import BalanceChange, OutboxRow
from engage.ledger.clawback import Removal, claw_back
from engage.ledger.credits import read_by_reference, read_used_keys
from engage.ledger.settle import is_credit_due, next_settlement, read_due_times, settle_batch
from engage.runtime.database import one_statement, open_database
from engage.runtime.ids import new_id
from engage.settings import Settings
from tests.support.activities import FIRST, PROGRAM, link, review, social, tap
from tests.support.clock import DAY, FIVE_MINUTES, NOON, UNBOUNDED
from tests.support.database import rows

PLAYGROUND = parse.parse(FIRST, source="playground")
MADRID = "Europe/Madrid"


@pytest.fixture
async def db(database: Settings) -> AsyncIterator[AsyncEngine]:
    engine = open_database(database.database_url, pool_size=16)
    async with one_statement(engine) as conn:
        # As every member has one.
        await conn.execute(
            text("INSERT INTO balances (program_id, member_id) SELECT :id, unnest(CAST(:members AS text[]))"),
            {"id": PROGRAM, "members": [f"m-{n}" for n in range(12)]},
        )
    yield engine
    await engine.dispose()


def credits(activity: AnyActivity, number: int = 1, *, days: int = 0) -> list[NewCredit]:
    """Decide the credits of an activity that was granted this number of each slot."""
    at = NOON + days * DAY
    slots = wanted(PLAYGROUND.earning, activity, at=at, zone=MADRID)
    grants = [Grant(slot, number) for slot in slots]
    return decide(PLAYGROUND.earning, activity, at=at, zone=MADRID, grants=grants)


def rows_of(credits: list[NewCredit], member: str = "m-1") -> list[CreditToAccept]:
    return [CreditToAccept(PROGRAM, member, new_id(), credit) for credit in credits]


def outbox_row() -> OutboxRow:
    return OutboxRow(new_id(), "test", NOON)


async def take(
    db: AsyncEngine, accepting: list[CreditToAccept]
) -> tuple[frozenset[UUID], list[BalanceChange]]:
    """Accept credits; return (ids of the accepted ones, changed balances)."""
    row = OutboxRow(new_id(), "pending", NOON)
    async with one_statement(db) as conn:
        return await accept(conn, accepting, row, now=NOON, ahead=UNBOUNDED), row.changes


async def test_the_same_credits_from_many_connections_are_accepted_once(db: AsyncEngine) -> None:
    chance = random.Random(3)
    wanted_credits = [
        (f"m-{n}", credit) for n in range(10) for c in range(4) for credit in credits(tap(), days=c)
    ]
    batches = []
    for _ in range(16):
        chance.shuffle(wanted_credits)
        batches.append([CreditToAccept(PROGRAM, m, new_id(), credit) for m, credit in wanted_credits[:30]])
    accepted = await asyncio.gather(*(take(db, batch) for batch in batches))
    ids = [id_ for taken, _ in accepted for id_ in taken]
    assert len(ids) == len(set(ids))
    found = await rows(
        db, "SELECT count(*), count(DISTINCT (member_id, source_key)), sum(points) FROM credits"
    )
    assert found == [(len(ids), len(ids), 2 * len(ids))]
    balances = await rows(db, "SELECT sum(pending), sum(version) FROM balances")
    versions = sum(len(changes) for _, changes in accepted)
    assert balances == [(2 * len(ids), versions)], "each change of a balance is one version"


async def test_the_newest_balance_comes_with_the_credits(db: AsyncEngine) -> None:
    _, (change,) = await take(db, rows_of(credits(link())))
    assert (change.member_id, change.balance.pending, change.balance.seq) == ("m-1", 21, 1)
    assert await take(db, rows_of(credits(link()))) == (frozenset(), [])
    assert await rows(db, "SELECT count(*), max(cause) FROM outbox") == [(1, "pending")]


async def test_a_credit_that_shares_a_slot_needs_the_slots_credit(db: AsyncEngine) -> None:
    share_any, thanks = (c for c in credits(link()) if c.rule_id in ("share_any", "share_thanks"))
    assert (await take(db, rows_of([share_any])))[0]
    own = CreditToAccept(PROGRAM, "m-1", new_id(), share_any)
    beside = CreditToAccept(PROGRAM, "m-1", new_id(), thanks, with_id=own.id)
    assert (await take(db, [beside, own]))[0] == frozenset()
    own = CreditToAccept(PROGRAM, "m-2", new_id(), share_any)
    beside = CreditToAccept(PROGRAM, "m-2", new_id(), thanks, with_id=own.id)
    ids, changes = await take(db, [beside, own])
    assert ids == {own.id, beside.id}
    assert [change.balance.pending for change in changes] == [4]


async def test_an_activity_with_a_known_reference_earns_under_no_rule(db: AsyncEngine) -> None:
    assert len((await take(db, rows_of(credits(link("s-1")))))[0]) == 4
    assert (await take(db, rows_of(credits(social("s-1"), 2))))[0] == frozenset()
    assert len((await take(db, rows_of(credits(social("s-1"), 2), "m-2")))[0]) == 2, (
        "references are a member's"
    )
    (known,) = (
        CreditToAccept(PROGRAM, "m-1", new_id(), c, known=True) for c in credits(social("s-1"), 2)[:1]
    )
    assert (await take(db, [known]))[0] == {known.id}, "unless it is the same activity going on"
    async with one_statement(db) as conn:
        held = await read_by_reference(conn, [(PROGRAM, "m-1", "share:s-1"), (PROGRAM, "m-1", "share:s-2")])
        keys = await read_used_keys(conn, [(PROGRAM, "m-1", "first_link"), (PROGRAM, "m-2", "first_link")])
    assert [len(ids) for ids in held.values()] == [5]
    assert keys == {(PROGRAM, "m-1", "first_link")}


async def test_an_event_of_a_streak_is_accepted_only_after_all_before_it(db: AsyncEngine) -> None:
    async def begin(days: int, seq: int) -> int:
        at = NOON + days * DAY
        slot = StreakSlot("fuel", at.date(), MADRID, at, DailyStreak())
        (credit,) = decide(PLAYGROUND.earning, tap(), at=at, zone=MADRID, grants=[Grant(slot, 1)])
        return len((await take(db, [CreditToAccept(PROGRAM, "m-1", new_id(), credit, streak_seq=seq)]))[0])

    assert await begin(10, 1) == 1
    assert await begin(11, 1) == 0, "it does not know the day before"
    assert await begin(10, 2) == 0, "the day itself"
    assert await begin(9, 2) == 1, "a day that comes late"
    assert await begin(11, 2) == 0
    assert await begin(11, 3) == 1


async def test_writers_in_any_order_do_not_deadlock(db: AsyncEngine) -> None:
    """Accept, settle and claw back credits of the same members, in batches of different order."""
    chance = random.Random(8)
    members = [f"m-{n}" for n in range(12)]

    async def earn(turn: int) -> None:
        chance.shuffle(members)
        batch = [row for m in members for row in rows_of(credits(review(f"p-{turn}", f"r-{turn}")), m)]
        await take(db, batch)

    async def settle() -> None:
        async with db.begin() as conn:
            await settle_batch(conn, outbox_row(), now=NOON + FIVE_MINUTES, ahead=UNBOUNDED, batch=5)

    async def remove(turn: int) -> None:
        chance.shuffle(members)
        removals = [Removal(PROGRAM, m, f"review:r-{turn}", ("review",), "first", NOON) for m in members[:8]]
        async with db.begin() as conn:
            await post(conn, await claw_back(conn, removals, now=NOON + FIVE_MINUTES), outbox_row())

    for turn in range(5):
        work = [earn(turn), earn(turn), *[settle() for _ in range(6)], remove(turn), remove(turn)]
        chance.shuffle(work)
        await asyncio.gather(*work)
    points = await rows(
        db,
        """
        SELECT sum(points) FILTER (WHERE state = 'pending'), sum(points) FILTER (WHERE state = 'active'),
               (SELECT sum(pending) FROM balances), (SELECT sum(active) FROM balances)
        FROM credits
        """,
    )
    pending, active, balance_pending, balance_active = (int(str(number or 0)) for number in points[0])
    assert (balance_pending, balance_active) == (pending, active)
    assert await rows(db, "SELECT sum(points) FROM legs") == [(0,)]


async def test_due_times_are_rounded_up(db: AsyncEngine) -> None:
    step = timedelta(milliseconds=250)
    await take(
        db, rows_of(credits(tap())) + rows_of(credits(link()), "m-2") + rows_of(credits(social(), 2), "m-3")
    )
    async with one_statement(db) as conn:
        assert await next_settlement(conn, after=NOON) == NOON + FIVE_MINUTES
        assert await next_settlement(conn, after=NOON + FIVE_MINUTES) == NOON + timedelta(hours=1)
        assert await read_due_times(conn, after=NOON, step=step) == [
            NOON + FIVE_MINUTES,
            NOON + timedelta(hours=1),
            NOON + DAY,
        ]
        assert not await is_credit_due(conn, now=NOON + FIVE_MINUTES - timedelta(microseconds=1))
        assert await is_credit_due(conn, now=NOON + FIVE_MINUTES)
        await conn.execute(text("UPDATE credits SET due_at = due_at + interval '1 microsecond'"))
        assert (await read_due_times(conn, after=NOON, step=step))[0] == NOON + FIVE_MINUTES + step
