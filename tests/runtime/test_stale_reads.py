"""Reports read from a standby that is fresh enough, and otherwise from the primary. Two real servers."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from engage.domain.refusals import Unavailable
from engage.embedded import postgres
from engage.flows.operations.audit import audit
from engage.flows.operations.install import install
from engage.flows.reports.reports import report_liability
from engage.runtime.stale_reads import stale_snapshots
from engage.settings import Settings
from tests.support.standby import Pair, running_pair

OF_A_STANDBY = text("SELECT pg_is_in_recovery()")
ROWS = text("SELECT count(*) FROM outbox")
ADD = (
    "INSERT INTO outbox (id, written_at, cause, program_ids, member_ids)"
    " VALUES (gen_random_uuid(), now(), 'tap', '{}', '{}')"
)


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("stale")
    folder.parent.chmod(0o711)
    async with running_pair(folder / "pair") as pair:
        await install(pair.settings)
        yield pair


@pytest.fixture
async def pair(running: Pair) -> AsyncIterator[Pair]:
    await running.until_replayed()
    yield running
    await running.standby.server.start()


def with_reports(pair: Pair, max_age_s: int = 3600) -> Settings:
    url = f"postgresql+asyncpg://{postgres.SUPERUSER}@/{postgres.DATABASE}"
    url += f"?host={pair.standby.sockets}&port={postgres.PORT}"
    return replace(pair.settings, reports_database_url=url, reports_max_age_s=max_age_s)


async def reads_from_standby(settings: Settings) -> bool:
    async with stale_snapshots(settings, timeout_s=None) as (conn,):
        return bool((await conn.execute(OF_A_STANDBY)).scalar_one())


async def test_reports_read_from_the_standby_and_without_one_from_the_primary(pair: Pair) -> None:
    assert await reads_from_standby(with_reports(pair))
    assert not await reads_from_standby(pair.settings)


async def test_several_connections_see_the_same(pair: Pair) -> None:
    async with stale_snapshots(with_reports(pair), timeout_s=None, count=3) as conns:
        before = [(await conn.execute(ROWS)).scalar_one() for conn in conns[:2]]
        await pair.primary.run(ADD)
        await pair.until_replayed()
        assert [(await conn.execute(ROWS)).scalar_one() for conn in conns] == [before[0]] * 3


async def test_the_audit_reads_from_the_standby(pair: Pair) -> None:
    found = await audit(with_reports(pair))
    assert (found.broken, found.late) == ([], [])


async def test_a_report_is_read_there_alone_while_the_primary_is_away(pair: Pair) -> None:
    from_primary = await report_liability(pair.settings, at="2026-11-21T00:00:00Z")
    await pair.primary.server.stop()
    try:
        assert await report_liability(with_reports(pair), at="2026-11-21T00:00:00Z") == from_primary
    finally:
        # It looks for the primary at once when it starts.
        await pair.standby.server.stop()
        await pair.primary.server.start()


async def test_nothing_is_written_there(pair: Pair) -> None:
    with pytest.raises(Unavailable):
        async with stale_snapshots(with_reports(pair), timeout_s=None) as (conn,):
            await conn.execute(text(ADD))


async def test_a_standby_that_is_too_far_behind_is_not_read(pair: Pair) -> None:
    await asyncio.sleep(0.01)
    assert not await reads_from_standby(with_reports(pair, max_age_s=0))


async def test_a_standby_that_does_not_answer_is_not_read(pair: Pair) -> None:
    await pair.standby.server.kill()
    assert not await reads_from_standby(with_reports(pair))


async def test_a_statement_that_the_standby_ends_to_keep_up_is_unavailable(pair: Pair) -> None:
    """The primary has removed what it reads. Nothing is wrong, and the report may be asked for again."""
    await pair.standby.run("ALTER SYSTEM SET max_standby_streaming_delay = 0")
    await pair.standby.run("SELECT pg_reload_conf()")
    await pair.primary.run(ADD)
    await pair.until_replayed()

    async def read_what_is_removed_meanwhile() -> None:
        async with stale_snapshots(with_reports(pair), timeout_s=None) as (conn,):
            await conn.execute(ROWS)
            await pair.primary.run("DELETE FROM outbox")
            await pair.primary.run("VACUUM outbox")
            await pair.until_replayed()
            await conn.execute(ROWS)

    with pytest.raises(Unavailable):
        await read_what_is_removed_meanwhile()


async def test_a_standby_that_was_promoted_is_not_read(pair: Pair) -> None:
    """It may be the wrong one: which server is the primary is found at the database's own URL."""
    await pair.standby.promote()
    async with stale_snapshots(with_reports(pair), timeout_s=None) as (conn,):
        assert (await conn.execute(text("SHOW cluster_name"))).scalar_one() == ""
