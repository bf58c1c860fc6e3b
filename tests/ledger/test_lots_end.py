"""Bulk expiration: the lots that expire, and the rows that are written."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from engage.flows.scheduled.settle import settle_due
from engage.ledger.balances import BalanceChange, OutboxRow
from engage.ledger.expire import expire_lots, lock_expiring, next_expiration, next_stop
from engage.runtime.database import transaction
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import join, perform, review, services_with_activities, tap
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, FIVE_MINUTES, NOON, UNBOUNDED, advance
from tests.support.database import rows
from tests.support.holds import end_hold, hold, spend

MOMENT = timedelta(microseconds=1)
JOINED_ENDS = (NOON + FIVE_MINUTES).replace(
    year=2027
)  # End of the 50 points that a registration at NOON earns.


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_activities(settings) as opened:
        yield opened


async def earn(services: Services, *members: str) -> None:
    """Earn 50 points that expire at JOINED_ENDS, and 22 that expire a day later."""
    for member in members:
        await join(services, member)
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    advance(services, DAY - FIVE_MINUTES)
    for member in members:
        await perform(services, tap(), member)
        await perform(services, review(), member)
    await settle_due(services, now=advance(services, FIVE_MINUTES))


async def expire(
    services: Services, now: datetime, *, on_time: bool = False, batch: int = 1000
) -> tuple[int, list[BalanceChange]]:
    async with transaction(services.db) as conn:
        _, members = await lock_expiring(conn, now=now, ahead=UNBOUNDED, on_time=on_time, batch=batch)
        row = OutboxRow(new_id(), "expired", services.clock.wall())
        return await expire_lots(conn, members, row, now=now, ahead=UNBOUNDED, on_time=on_time), row.changes


async def balances(services: Services) -> list[tuple[object, ...]]:
    """Return (member, active, held, debt)."""
    return await rows(services.db, "SELECT member_id, active, held, debt FROM balances ORDER BY 1")


async def test_points_expire_at_their_time_and_not_before(services: Services, settings: Settings) -> None:
    await earn(services, "m-1")
    assert await expire(services, JOINED_ENDS - MOMENT) == (0, [])
    ended, (change,) = await expire(services, JOINED_ENDS)
    assert (ended, change.balance.active, change.balance.pending) == (1, 22, 0)
    assert await expire(services, JOINED_ENDS + DAY - MOMENT) == (0, [])
    assert (await expire(services, JOINED_ENDS + DAY))[0] == 2
    assert await expire(services, JOINED_ENDS + 1000 * DAY) == (0, [])
    found = await rows(
        services.db,
        "SELECT seq, kind, at, active_delta, house_account, house_delta, balance_after FROM entries"
        " WHERE kind = 'expiration' ORDER BY seq",
    )
    later = JOINED_ENDS + DAY
    assert found[0] == (7, "expiration", JOINED_ENDS, -50, "expired", 50, 22)
    assert sorted(row[3] for row in found[1:]) == [-20, -2]  # type: ignore[type-var]
    assert [(row[0], row[2]) for row in found[1:]] == [(8, later), (9, later)]
    assert found[-1][-1] == 0
    lots = await rows(services.db, "SELECT points, remaining, expired FROM lots ORDER BY 1")
    assert lots == [(2, 0, 2), (20, 0, 20), (50, 0, 50)]
    advance(services, 1000 * DAY)
    await assert_audit_is_clean(services)


async def test_only_the_rest_of_a_lot_expires(services: Services, settings: Settings) -> None:
    await earn(services, "m-1", "m-2")
    assert await spend(services, 45, "m-1", now=services.clock.now()) == 45
    assert await spend(services, 50, "m-2", now=services.clock.now()) == 50
    ended, changes = await expire(services, JOINED_ENDS)
    assert (ended, [change.member_id for change in changes]) == (1, ["m-1"])
    assert await balances(services) == [("m-1", 22, 0, 0), ("m-2", 22, 0, 0)]
    found = await rows(
        services.db, "SELECT member_id, remaining, expired FROM lots WHERE points = 50 ORDER BY 1"
    )
    assert found == [("m-1", 0, 5), ("m-2", 0, 0)]
    await assert_audit_is_clean(services)


async def test_held_points_do_not_expire_while_the_hold_is_open(
    services: Services, settings: Settings
) -> None:
    await earn(services, "m-1", "m-2", "m-3")
    before = JOINED_ENDS - timedelta(minutes=10)
    captured = await hold(services, 60, "m-1", now=before)
    released = await hold(services, 60, "m-2", now=before)
    in_time = await hold(services, 60, "m-3", now=before)
    await end_hold(services, in_time, "released", "m-3", now=JOINED_ENDS - MOMENT)
    assert [change.member_id for change in (await expire(services, JOINED_ENDS))[1]] == ["m-3"]
    assert await balances(services) == [("m-1", 12, 60, 0), ("m-2", 12, 60, 0), ("m-3", 22, 0, 0)]
    # A capture spends points that have ended during the hold.
    after = JOINED_ENDS + timedelta(minutes=10)
    await end_hold(services, captured, "captured", "m-1", now=after)
    # Released points of a lot that has ended expire at once; those of the younger lot are active again.
    await end_hold(services, released, "released", "m-2", now=after)
    assert await balances(services) == [("m-1", 12, 0, 0), ("m-2", 22, 0, 0), ("m-3", 22, 0, 0)]
    assert await expire(services, after) == (0, [])
    advance(services, JOINED_ENDS + timedelta(hours=1) - services.clock.now())
    await assert_audit_is_clean(services)


async def test_a_locked_balance_is_left_to_the_next_batch(services: Services) -> None:
    await earn(services, "m-1", "m-2", "m-3")
    async with services.db.connect() as spender:
        await spender.execute(text("SELECT FROM balances WHERE member_id = 'm-2' FOR UPDATE"))
        ended, changes = await expire(services, JOINED_ENDS)
        assert (ended, [change.member_id for change in changes]) == (2, ["m-1", "m-3"])
        assert await expire(services, JOINED_ENDS) == (0, [])
        await spender.rollback()
    ended, changes = await expire(services, JOINED_ENDS)
    assert (ended, [change.member_id for change in changes]) == (1, ["m-2"])


async def test_two_workers_take_different_members(services: Services) -> None:
    members = [f"m-{n}" for n in range(6)]
    await earn(services, *members)
    async with services.db.connect() as first, services.db.connect() as second:
        taken = [
            {
                member.member_id
                for member in (await lock_expiring(conn, now=JOINED_ENDS, ahead=UNBOUNDED, batch=3))[1]
            }
            for conn in (first, second)
        ]
        await first.rollback()
        await second.rollback()
    assert [len(locked) for locked in taken] == [3, 3]
    assert taken[0] | taken[1] == set(members)


async def test_points_spent_while_waiting_for_the_lots_do_not_expire(services: Services) -> None:
    await earn(services, "m-1")
    async with services.db.connect() as conn, conn.begin():
        # The snapshot is taken before the spending, as by a statement that waits for a lock.
        await conn.execute(text("SELECT count(*) FROM lots"))
        assert await spend(services, 30, now=services.clock.now()) == 30
        found, members = await lock_expiring(conn, now=JOINED_ENDS, ahead=UNBOUNDED)
        assert (found, [(m.active, m.version) for m in members]) == (1, [(42, 7)])
        row = OutboxRow(new_id(), "expired", services.clock.wall())
        assert await expire_lots(conn, members, row, now=JOINED_ENDS, ahead=UNBOUNDED) == 1
    assert [change.balance.active for change in row.changes] == [22]


async def test_an_advanced_clock_writes_the_end_of_each_lot(
    services: Services,
) -> None:
    await earn(services, "m-1")
    assert (await expire(services, JOINED_ENDS + 30 * DAY, on_time=True))[0] == 3
    found = await rows(
        services.db,
        "SELECT at, active_delta, balance_after FROM entries WHERE kind = 'expiration' ORDER BY seq",
    )
    assert found[0] == (JOINED_ENDS, -50, 22)
    assert [at for at, *_ in found] == [JOINED_ENDS, JOINED_ENDS + DAY, JOINED_ENDS + DAY]
    assert found[-1][-1] == 0


async def test_the_next_expiration_is_found(services: Services) -> None:
    await earn(services, "m-1")

    async def after(at: datetime) -> datetime | None:
        async with transaction(services.db) as conn:
            return await next_expiration(conn, after=at)

    assert await after(NOON) == JOINED_ENDS
    assert await after(JOINED_ENDS) == JOINED_ENDS + DAY
    assert await after(JOINED_ENDS + DAY) is None
    assert await spend(services, 50, now=services.clock.now()) == 50
    assert await after(NOON) == JOINED_ENDS + DAY


async def test_an_advancing_clock_stops_before_points_that_come_after_others_have_ended(
    services: Services,
) -> None:
    await earn(services, "m-1", "m-2")
    far = JOINED_ENDS + 10 * DAY

    async def stop(after: datetime, until: datetime) -> datetime | None:
        async with transaction(services.db) as conn:
            return await next_stop(conn, after=after, until=until)

    async def change(statement: str) -> None:
        async with services.db.begin() as conn:
            await conn.execute(text(statement), {"due": due} if ":due" in statement else {})

    assert await stop(NOON, far) is None
    advance(services, JOINED_ENDS - timedelta(minutes=4) - services.clock.now())
    await perform(services, tap(), "m-1")
    due = JOINED_ENDS + timedelta(minutes=1)
    assert await stop(NOON, far) == due - MOMENT
    assert await stop(NOON, due) == due - MOMENT
    assert await stop(NOON, due - MOMENT) is None
    assert await stop(JOINED_ENDS, far) is None, "points that have ended need no stop"
    # Ends of another member's points do not matter.
    await change("UPDATE lots SET expires_at = NULL WHERE member_id = 'm-1'")
    assert await stop(NOON, far) is None
    # Points that end when others become active need no stop.
    await change("UPDATE lots SET expires_at = :due WHERE member_id = 'm-1'")
    assert await stop(NOON, far) is None
    # Pending points may end before other pending points become active.
    await change(
        "INSERT INTO credits SELECT (jsonb_populate_record(c, jsonb_build_object('id', uuidv7(),"
        " 'source_key', 'other', 'streak_seq', NULL, 'due_at', due_at - interval '2 min',"
        " 'expires_at', due_at - interval '1 min'))).* FROM credits c WHERE state = 'pending'"
    )
    assert await stop(NOON, far) == due - MOMENT


async def test_an_advancing_clock_stops_where_a_debt_is_paid(services: Services) -> None:
    await earn(services, "m-1", "m-2")
    for member in ("m-1", "m-2"):
        await perform(services, review("watch", "r-2"), member)
    due = services.clock.now() + FIVE_MINUTES
    async with services.db.begin() as conn:
        await conn.execute(text("UPDATE balances SET debt = 5 WHERE member_id = 'm-2'"))
        assert await next_stop(conn, after=NOON, until=due + DAY) == due
        assert await next_stop(conn, after=due, until=due + DAY) is None
        await conn.execute(text("UPDATE balances SET debt = 0"))
        assert await next_stop(conn, after=NOON, until=due + DAY) is None
