"""Reports use the rules and members of their instant; dates are days in UTC."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import astuple, replace
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.liability import BUCKETS, DAYS, LiabilityReport
from engage.domain.accounts.period import InvalidPeriod, parse_period
from engage.domain.refusals import Unavailable
from engage.flows.members.adjust import AdjustmentRequest, adjust
from engage.flows.members.erase import erase_member
from engage.flows.members.import_file import check_file
from engage.flows.members.import_members import import_members
from engage.flows.members.merge import merge_members
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.programs.publish import publish
from engage.flows.reports import reader
from engage.flows.reports.reports import report_balance, report_liability
from engage.flows.scheduled.expire import expire_due
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support import orders
from tests.support.activities import PROGRAM, join
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, NOON, advance
from tests.support.database import rows
from tests.support.eventually import WITHIN_S

BODY = """
id = "worthy"
version = "{version}"
title = "Points of changing worth"
in_force_from = {since}
eligibility = {{ one_account_a_person = false }}
expiry = {{ type = "rolling", months = 12 }}
{worth}

[countries]
ES = {{ zone = "Europe/Madrid", currency = "EUR" }}
{more}

[[rules]]
id = "registration"
title = "Join"
on = {{ activity = "registration" }}
limit = {{ type = "once" }}
award = {{ type = "fixed", points = 50 }}
due = {{ type = "after", delay = "PT5M" }}
"""
FRANCE = 'FR = { zone = "Europe/Paris", currency = "EUR" }'


def worth_of(report: LiabilityReport) -> list[tuple[str, int, int | None]]:
    return [
        (item.currency, item.outstanding, None if item.worth is None else item.worth.amount)
        for item in report.items
    ]


async def test_points_are_valued_by_the_version_of_the_instant(services: Services) -> None:
    versions = [
        BODY.format(
            version="one", since="2026-01-01", worth="worth = { points = 1, minor = 1 }", more=FRANCE
        ),
        BODY.format(version="two", since="2026-11-25", worth="worth = { points = 1, minor = 3 }", more=""),
        BODY.format(version="three", since="2026-11-28", worth="", more=""),
    ]
    for document in versions:
        await publish(services.db, document, source="worthy", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    for country in ("ES", "FR"):
        await register_member(
            services, MemberRegistration(member_id=f"w-{country}", program="worthy", country=country)
        )
    await settle_due(services, now=advance(services, timedelta(hours=1)))
    advance(services, 9 * DAY)
    settings, clock = services.settings, services.clock
    worths = [
        worth_of(await report_liability(settings, at=at, program_id="worthy", clock=clock))
        for at in ("2026-11-23", "2026-11-24T22:59:59Z", "2026-11-24T23:00:00Z", "2026-11-29")
    ]
    # Version two begins at midnight in Madrid. It leaves out France, where version one stays in force.
    assert worths == [
        [("EUR", 100, 100)],
        [("EUR", 100, 100)],
        [("EUR", 100, 200)],
        [("EUR", 100, None)],
    ]


class Snapshot(Struct, frozen=True):
    """Balances, and points of lots, as the current tables had them at an instant."""

    at: datetime
    balances: dict[str, tuple[int, ...]]
    by_end: dict[str, int]  # Points of lots by bucket.


async def take_snapshot(services: Services) -> Snapshot:
    """Take the current state, then advance the clock by an hour."""
    now = services.clock.now()
    balances = await rows(services.db, "SELECT member_id, active, pending, held, debt FROM balances")
    lots = await rows(
        services.db,
        """
        SELECT l.expires_at, CAST(l.remaining + coalesce((
            SELECT sum(held_delta) FROM lot_moves m
            WHERE (m.program_id, m.member_id, m.credit_id) = (l.program_id, l.member_id, l.credit_id)
        ), 0) AS bigint)
        FROM lots l
        """,
    )
    by_end: Counter[str] = Counter()
    for end, points in lots:
        assert isinstance(end, datetime)
        assert isinstance(points, int)
        place = next((n for n, days in enumerate(DAYS) if end <= now + days * DAY), len(DAYS))
        by_end[BUCKETS[place]] += points
    advance(services, timedelta(hours=1))
    return Snapshot(now, {str(m): tuple(map(int, map(str, had))) for m, *had in balances}, dict(by_end))


async def write_history(services: Services) -> list[Snapshot]:
    """Do everything that can happen to points; return a snapshot after each step."""
    past = [await take_snapshot(services)]
    for member in ("m-1", "m-2", "m-3"):
        await orders.join(services, member)
    many = orders.line(paid=100_00, quantity=4, tag_points=3)
    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: orders.buy(services, order_id="o-1"),
        lambda: orders.write_review(services),
        lambda: orders.send_events(services, orders.paid(services, many, order_id="o-2")),
        lambda: orders.send_events(services, orders.returned(services, {"1": 1}, order_id="o-2")),
        lambda: orders.send_events(services, orders.returned(services, {"1": 1}, order_id="o-2")),
        lambda: settle_due(services, now=services.clock.now()),
        lambda: orders.send_events(services, orders.delivered(services, order_id="o-2")),
        lambda: settle_due(services, now=services.clock.now()),
        lambda: orders.buy(services, orders.line(paid=3000), order_id="o-3", member_id="m-2"),
        lambda: orders.spend(services, 25, member_id="m-2", capture=False),
        lambda: orders.spend(services, 30, "o-4"),
        lambda: orders.send_events(services, orders.paid(services, order_id="o-5")),
        lambda: orders.send_events(services, orders.cancelled(services, order_id="o-5")),
        lambda: orders.send_events(services, orders.paid(services, order_id="o-6")),
        lambda: orders.send_events(services, orders.returned(services, order_id="o-2")),
        lambda: orders.send_events(services, orders.review_removed(services, "r-1")),
        lambda: merge_members(services, orders.PROGRAM, "m-1", into="m-3", reason="one", operator="key-1"),
        lambda: orders.send_events(services, orders.delivered(services, order_id="o-6")),
        lambda: settle_due(services, now=services.clock.now()),
        lambda: expire_due(services, now=advance(services, 400 * DAY)),
        lambda: orders.buy(services, orders.line(paid=9000), order_id="o-7", member_id="m-3"),
        lambda: erase_member(services, orders.PROGRAM, "m-3", operator="key-1"),
    ]
    for step in steps:
        await step()
        past.append(await take_snapshot(services))
    return past


async def test_reports_of_the_past_do_not_change(settings: Settings) -> None:
    async with orders.services_with_orders(settings) as services:
        past = await write_history(services)
        columns = list(zip(*(had for snapshot in past for had in snapshot.balances.values()), strict=True))
        assert all(map(any, columns)), "points were active, pending, held and owed at some time"
        for snapshot in past:
            at, clock = snapshot.at.isoformat(), services.clock
            found = (await report_liability(settings, at=at, clock=clock)).items
            totals = [sum(column) for column in zip(*snapshot.balances.values(), strict=True)] or [0, 0, 0, 0]
            reported = [[item.active, item.pending, item.held, item.debt] for item in found] or [[0, 0, 0, 0]]
            assert reported == [totals], snapshot.at
            for item in found:
                assert item.reconciled
                by_end = {line.bucket: line.points for line in item.expiring if line.points}
                assert by_end == {name: points for name, points in snapshot.by_end.items() if points}
            for member, had in snapshot.balances.items():
                (balance,) = await report_balance(settings, member, at=at, clock=clock)
                assert astuple(balance.balance) == had, (member, snapshot.at)
        await assert_audit_is_clean(services)


async def test_late_events_do_not_change_reports_of_the_past(settings: Settings, tmp_path: Path) -> None:
    """Events, imports and corrections count from now on, whatever times they name."""
    async with orders.services_with_orders(settings) as services:
        await orders.join(services, "m-1")
        await orders.join(services, "m-2")
        await orders.buy(services, order_id="o-1")
        await orders.send_events(services, orders.paid(services, order_id="o-2"))
        advance(services, 40 * DAY)
        instants = [NOON - DAY, NOON, NOON + DAY, NOON + 20 * DAY, services.clock.now()]
        before = await reports_at(services, instants)
        advance(services, timedelta(seconds=1))
        long_ago, last_month = NOON - 300 * DAY, NOON + 10 * DAY
        await orders.send_events(
            services,
            orders.paid(services, orders.line(paid=50_00), order_id="o-9", member_id="m-2", at=long_ago),
            orders.delivered(services, order_id="o-9", member_id="m-2", at=long_ago + DAY),
            orders.delivered(services, order_id="o-2", at=last_month),
            orders.returned(services, order_id="o-1", at=last_month),
            orders.paid(services, order_id="o-3", at=last_month),
            orders.cancelled(services, order_id="o-3", at=last_month),
        )
        file = tmp_path / "old.csv"
        file.write_text("member_id,country,points,earned_at\nm-2,ES,70,2026-01-01\nm-3,ES,7,2026-11-01\n")
        table = check_file(file)
        await import_members(
            services,
            table,
            program_id=orders.PROGRAM,
            name="old",
            on_rejected=lambda rejected: pytest.fail(str(rejected)) if rejected else None,
            on_progress=lambda _: None,
        )
        correction = AdjustmentRequest(points=5, reason="gift", reference="T-1")
        await adjust(services, orders.PROGRAM, "m-1", correction, operator="key-1")
        await settle_due(services, now=services.clock.now())
        await merge_members(services, orders.PROGRAM, "m-1", into="m-2", reason="one", operator="key-1")
        await erase_member(services, orders.PROGRAM, "m-3", operator="key-1")
        assert await reports_at(services, instants) == before
        assert await reports_at(services, [services.clock.now()]) != before[-1:]
        await assert_audit_is_clean(services)


async def reports_at(services: Services, instants: Sequence[datetime]) -> list[LiabilityReport]:
    return [
        await report_liability(services.settings, at=at.isoformat(), clock=services.clock) for at in instants
    ]


async def test_erased_members_stay_in_the_reports(services: Services) -> None:
    await join(services)
    await settle_due(services, now=advance(services, timedelta(hours=1)))
    before = services.clock.now()
    advance(services, DAY)
    async with services.db.begin() as conn:
        await conn.execute(text("UPDATE members SET erased_at = :now"), {"now": services.clock.now()})
    report = await report_liability(services.settings, at=before.isoformat(), clock=services.clock)
    assert worth_of(report) == [("EUR", 50, None)]
    (past,) = await report_balance(services.settings, "m-1", at=before.isoformat(), clock=services.clock)
    assert (past.program, past.balance.active) == (PROGRAM, 50)


def at(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_dates_are_whole_days_without_gaps() -> None:
    now = at(2027, 1, 5, 12)
    december = parse_period("2026-12-31", "2026-12-01", now=now)
    january = parse_period(None, "2027-01-01", now=now)
    assert (december.since, december.at) == (at(2026, 12, 1), at(2026, 12, 31, 23, 59, 59, 999_999))
    assert january.since == december.at + timedelta(microseconds=1)
    assert january.at == now
    assert parse_period("2027-01-04T01:00:00+02:00", None, now=now).at == at(2027, 1, 3, 23)


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13-01", "20261231", "2026-12-31T10:00", "2026-12-31T10:00:00", "12/31/2026"]
)
def test_an_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidPeriod, match="neither a date nor a time"):
        parse_period(text, None, now=NOON)


@pytest.mark.parametrize("text", ["2026-11-21", "2026-11-21T12:00:00.000001Z", "9999-12-31", "2026-11-22"])
def test_a_future_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidPeriod, match="in the future"):
        parse_period(text, None, now=NOON)
    assert parse_period("2026-11-20", None, now=NOON).at < NOON


@asynccontextmanager
async def a_user(conn: AsyncConnection, settings: Settings) -> AsyncIterator[Settings]:
    """Settings with a user of the database whose connections can be counted."""
    await conn.execute(text("CREATE ROLE reports SUPERUSER LOGIN"))
    await conn.commit()
    try:
        url = make_url(settings.database_url).set(username="reports")
        yield replace(settings, database_url=url.render_as_string(hide_password=False))
    finally:
        await conn.rollback()
        await conn.execute(text("DROP ROLE reports"))
        await conn.commit()


async def test_however_many_reports_are_asked_for_few_are_connected(
    services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await join(services)
    monkeypatch.setattr(reader, "TURN_S", WITHIN_S)
    connected = text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reports'")
    async with (
        services.db.connect() as conn,
        a_user(conn, settings) as theirs,
        asyncio.TaskGroup() as group,
    ):
        asked = [
            group.create_task(report_balance(theirs, member.member_id, program_id=PROGRAM)) for _ in range(40)
        ]
        while not all(task.done() for task in asked):
            assert (await conn.execute(connected)).scalar_one() <= reader.READERS
    monkeypatch.setattr(reader, "TURN_S", 0.01)
    async with reader._readers, reader._readers:
        with pytest.raises(Unavailable):
            await report_balance(settings, member.member_id, program_id=PROGRAM)
