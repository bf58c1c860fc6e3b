"""Members read credits, their statement and the points that expire next."""

from datetime import datetime, timedelta

import msgspec
import pytest

from engage.flows.activities.record import record
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.take_events import take_events
from engage.ledger.credits import list_credits, list_entries, read_credit
from engage.ledger.home import EXPIRING, ExpiringPoints, read_homes
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import (
    PROGRAM,
    act,
    join,
    review,
    review_removed,
    services_with_activities,
    share_removed,
    tap,
)
from tests.support.clock import DAY, NOON, advance


@pytest.fixture
async def services(settings: Settings):  # type: ignore[no-untyped-def]
    async with services_with_activities(settings) as opened:
        yield opened


async def busy(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    for n in range(4):
        await record(
            services,
            [act(services, tap()), act(services, review(f"p-{n}", f"r-{n}")), act(services, tap(), "m-2")],
        )
        await settle_due(services, now=advance(services, DAY))
    await record(services, [act(services, tap())])
    await take_events(services, [review_removed(services, "r-2"), share_removed(services, "never-came")])


async def test_credits_are_read_page_by_page_newest_first(services: Services) -> None:
    await busy(services)
    async with one_statement(services.db) as conn:
        everything = await list_credits(conn, PROGRAM, "m-1", state=None, before=None, limit=100)
        pages, before = [], None
        while page := await list_credits(conn, PROGRAM, "m-1", state=None, before=before, limit=3):
            pages += page
            before = page[-1].id
        reversed_ = await list_credits(conn, PROGRAM, "m-1", state="reversed", before=None, limit=9)
        pending = await list_credits(conn, PROGRAM, "m-1", state="pending", before=None, limit=9)
        own = await read_credit(conn, PROGRAM, "m-1", everything[0].id)
        other = await read_credit(conn, PROGRAM, "m-2", everything[0].id)
    assert pages == everything
    assert [credit.id for credit in everything] == sorted((c.id for c in everything), reverse=True)
    assert len(everything) == 1 + 5 + 4 + 1, "registration, days, reviews and a bonus; no trace of a removal"
    assert [credit.source_key for credit in reversed_] == ["review:p-2"]
    assert [credit.rule for credit in pending] == ["fuel"]
    assert (own, other) == (everything[0], None)


async def test_the_statement_adds_up_page_by_page(services: Services) -> None:
    await busy(services)
    async with one_statement(services.db) as conn:
        entries, before = [], None
        while page := await list_entries(conn, PROGRAM, "m-1", before=before, limit=4):
            entries += page
            before = page[-1].seq
    balance = 0
    for entry in reversed(entries):
        balance += entry.points
        assert entry.balance_after == balance
    clawback = entries[0]
    assert (clawback.kind, clawback.points) == ("clawback", -20)
    (corrected,) = [entry for entry in entries if entry.seq == clawback.corrects]
    assert corrected.credit_id == clawback.credit_id


async def test_expiring_points_are_summed_by_their_end(services: Services) -> None:
    await busy(services)
    ending = await _ending(services, now=services.clock.now(), shown=3)
    later = await _ending(services, now=ending[0].expires_at, shown=100)
    first = NOON.replace(year=2027) + timedelta(minutes=5)
    assert (ending[0].points, ending[0].expires_at) == (50 + 2 + 20, first)
    assert [end.points for end in [ending[0], *later]] == [72, 22, 22, 22], "no points that were taken back"


async def _ending(services: Services, *, now: datetime, shown: int) -> list[ExpiringPoints]:
    async with one_statement(services.db) as conn:
        read = await read_homes(
            conn,
            PROGRAM,
            ["m-1", "nobody"],
            now=now,
            sections=[EXPIRING],
            parameters={"expiring_shown": shown},
        )
    assert list(read) == ["m-1"]
    _, (ending,) = read["m-1"]
    return msgspec.convert(ending or [], list[ExpiringPoints])
