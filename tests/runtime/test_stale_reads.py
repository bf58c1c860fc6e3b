"""Reports read from a standby that is fresh enough, and otherwise from the primary. Two real servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace
from sqlalchemy import text

from engage.domain.refusals import Unavailable
from engage.embedded import postgres, processes
from engage.flows.operations.audit import audit
from engage.flows.operations.install import install
from engage.flows.reports.reports import report_liability
from engage.runtime.stale_reads import stale_snapshots
from engage.settings import Settings
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.ports import server_port
from tests.support.rotating_processes import Running, processes_with
from tests.support.rotation import role_with_password, write_secret
from tests.support.standby import Pair, running_pair

OLD, NEW = "an-old-secret-of-enough-letters", "a-new-secret-of-enough-letters"

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


async def test_the_password_of_a_standby_is_rotated_under_an_api(pair: Pair, tmp_path: Path) -> None:
    """Reports of a process that is not started again are read there with each of them."""
    reports_url = with_reports(pair).reports_database_url
    async with role_with_password(pair.settings, OLD, reports_url) as role:
        urls = {"database_url": pair.settings.database_url, "reports_database_url": reports_url}
        for name, url in urls.items():
            write_secret(tmp_path / name, role.url(OLD, url))
        settings = replace(
            with_reports(pair),
            **{name: role.url(OLD, url) for name, url in urls.items()},
            secret_files={name: tmp_path / name for name in urls},
            jwks=str(tmp_path / "keys.json"),
            pepper=OLD,
            api_port=server_port(),
        )

        def publish(keys: list[dict[str, object]]) -> None:
            write_secret(tmp_path / "keys.json", json.dumps({"keys": keys}))

        async with processes_with(settings, pair.settings, (processes.API,), tmp_path, publish) as api:
            reports = Reports(pair, api, await api.new_key("admin"))
            for name, url in urls.items():
                api.rotate(name, role.url(NEW, url), role.url(OLD, url))
                await api.wait_for(name, 1)
            await reports.until_read_from_standby()
            await role.set_password(NEW)
            await reports.until_read_from_standby()
            for name, url in urls.items():
                api.rotate(name, role.url(NEW, url))
                await api.wait_for(name, 2)
            await reports.until_read_from_standby()
            api.rotate("reports_database_url", role.url(OLD, reports_url))
            await api.wait_for("reports_database_url", 3)
            async with reports.behind() as of_standby:
                assert await reports.pending() > of_standby, "the old password is refused"


class Reports:
    """Reports of an API. What they say shows which server they were read from."""

    def __init__(self, pair: Pair, api: Running, key: str) -> None:
        self._pair = pair
        self._api = api
        self._headers = {"Authorization": f"Bearer {key}"}

    async def pending(self) -> int:
        """Return the points of all members that are not active yet."""
        async with asyncio.timeout(WITHIN_S):
            while (answer := await self._ask()).status_code == 503:
                await asyncio.sleep(LOOK_AGAIN_S)
        assert answer.status_code == 200, answer.text
        return sum(item["pending"] for item in answer.json()["items"])

    @asynccontextmanager
    async def behind(self) -> AsyncIterator[int]:
        """Keep a new member from the standby; yield the points without theirs."""
        await self._pair.until_replayed()
        before = await self.pending()
        await self._pair.standby.run("SELECT pg_wal_replay_pause()")
        try:
            await self._pair.standby.until("SELECT pg_get_wal_replay_pause_state() = 'paused'")
            await self._api.joined()
            yield before
        finally:
            await self._pair.standby.run("SELECT pg_wal_replay_resume()")

    async def until_read_from_standby(self) -> None:
        """Wait for a report without a member whom the standby lacks. A slow standby is passed over."""
        async with self.behind() as of_standby, asyncio.timeout(WITHIN_S):
            while await self.pending() != of_standby:
                await asyncio.sleep(LOOK_AGAIN_S)

    async def _ask(self) -> httpx.Response:
        return await self._api.client.get("/v1/admin/reports/liability", headers=self._headers)


async def test_a_standby_that_was_promoted_is_not_read(pair: Pair) -> None:
    """It may be the wrong one: which server is the primary is found at the database's own URL."""
    await pair.standby.promote()
    async with stale_snapshots(with_reports(pair), timeout_s=None) as (conn,):
        assert (await conn.execute(text("SHOW cluster_name"))).scalar_one() == ""
