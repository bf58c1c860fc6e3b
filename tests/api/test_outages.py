"""A server dies while members tap: nothing is lost or doubled, and readiness names the server."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from structlog.testing import capture_logs

from engage.api.http.api_keys import ApiKeyCache
from engage.flows.operations.install import install
from engage.flows.scheduled.due_work import DUE_WORK
from engage.runtime.database import one_statement
from engage.signals import topics
from tests.api.calling import Caller, Calling, calling, problem
from tests.support.clock import set_sandbox_clock, wrong_clock
from tests.support.proxy import proxy_to_postgres
from tests.support.servers import Servers, own_servers

TAPS, READY = "/v1/fuel/taps", "/health/ready"
ALL = {"postgres", "valkey_state", "valkey_queue", "valkey_topics", "api", "worker", "feed"}
BACK_WITHIN_S = 15.0
SILENT_S = 2.0
AFTER_SILENCE_S = 6.0  # The time limit of a statement under way, and a new connection. It was 12 to 24 s.
OTHERS_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'stored_credits'::regclass")


@pytest.fixture(autouse=True)
def lasting_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a test takes longer than a heartbeat lasts."""
    monkeypatch.setattr(topics, "HEARTBEAT_TTL_S", 3600)


@pytest.fixture(scope="module")
async def running_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    folder = tmp_path_factory.mktemp("away")
    if os.geteuid() == 0:
        folder.parent.chmod(0o711)
    async with own_servers(folder) as running:
        await install(running.settings)
        await set_sandbox_clock(running.settings)
        yield running


@pytest.fixture
async def servers(running_servers: Servers) -> AsyncIterator[Servers]:
    """Servers that run before and after each test."""
    yield running_servers
    await running_servers.postgres.start()
    await running_servers.valkey.start()


@pytest.fixture
async def api(servers: Servers) -> AsyncIterator[Calling]:
    async with calling(servers.settings) as opened:
        yield opened


async def unavailable(member: Caller, part: str, path: str = TAPS, body: object = None) -> None:
    answer = await member.post(path, body)
    assert problem(answer, 503, "unavailable")["part"] == part
    assert int(answer.headers["retry-after"]) >= 1


async def answered(member: Caller, path: str = TAPS) -> int:
    """Repeat a request until its status is not 503; return the status."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while (status := (await member.post(path)).status_code) == 503:
            await asyncio.sleep(0.02)
    return status


async def joined(api: Calling) -> Caller:
    """Register a member as soon as the API has started."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while True:
            try:
                return await api.joined()
            except AssertionError:  # The API has not started yet.
                await asyncio.sleep(0.02)


async def down(api: Calling) -> set[str]:
    answer = await api.nobody.get(READY)
    services: dict[str, str] = answer.json()["parts"]
    assert services.keys() == ALL
    names = {name for name, state in services.items() if state == "down"}
    assert answer.status_code == (503 if names else 200)
    assert answer.json()["status"] == ("down" if names else "up")
    return names


async def write_heartbeats(api: Calling) -> None:
    """Write the heartbeats of a worker and a feed, and that all due work was done."""
    await api.services.topics.heartbeat("feed")
    await api.services.topics.heartbeat("worker")
    for work in DUE_WORK:
        await api.services.topics.note_done(work.name)


async def all_up(api: Calling) -> None:
    """Wait until nothing is down: the loops of the API notice that a server is back at their next turn."""
    async with asyncio.timeout(BACK_WITHIN_S):
        await write_heartbeats(api)
        while await down(api):
            await asyncio.sleep(0.02)
            await write_heartbeats(api)


async def taps_of(api: Calling, member: Caller) -> int:
    return len([key for key, _ in await api.credits(member) if key.startswith("fuel:")])


async def test_readiness_names_the_missing_part(api: Calling) -> None:
    assert (await api.nobody.get("/health/live")).json() == {"status": "up"}
    async with Redis.from_url(api.services.settings.queue_url) as queue:
        await queue.flushall()
    assert await down(api) == {"worker", "feed"}
    await write_heartbeats(api)
    assert await down(api) == set()


async def test_readiness_names_the_work_that_no_worker_does(api: Calling) -> None:
    """Workers that are alive and fail at each sweep, as on a server without the functions of a statement."""
    await write_heartbeats(api)
    assert await down(api) == set()
    async with Redis.from_url(api.services.settings.topics_url) as valkey:
        assert 0 < await valkey.pttl("engage:done:settle") <= 30_000
        await valkey.delete("engage:done:settle")
    assert await down(api) == {"worker"}
    problems = (await api.nobody.get(READY)).json()["problems"]
    assert problems == [{"process": "worker", "id": "", "loop": "settle"}]


async def test_readiness_names_credits_that_are_long_overdue(api: Calling) -> None:
    await write_heartbeats(api)
    member = await api.joined()
    assert await answered(member) == 202
    overdue = text(
        "UPDATE stored_credits SET due_at = CAST(:now AS timestamptz) - CAST(:late AS interval)"
        " WHERE state = 'pending'"
    )
    for late_s, expected in ((55, set()), (65, {"worker"})):
        async with one_statement(api.services.db) as conn:
            now = api.services.clock.now()
            await conn.execute(overdue, {"now": now, "late": timedelta(seconds=late_s)})
        assert await down(api) == expected
    problems = (await api.nobody.get(READY)).json()["problems"]
    assert problems == [{"process": "worker", "id": "", "loop": "overdue_credits"}]
    async with one_statement(api.services.db) as conn:
        await conn.execute(overdue, {"now": now, "late": timedelta(days=-1)})


async def test_an_api_on_a_machine_with_a_wrong_clock_says_so_and_past_a_minute_does_not_work(
    api: Calling,
) -> None:
    member = await api.joined()
    clock = api.services.clock
    right = clock._machine
    try:
        for ahead, problems, status in (
            (timedelta(seconds=3), ["clock_off"], 202),
            (timedelta(hours=-25), ["clock_far_off"], 503),
            (timedelta(), [], 409),
        ):
            clock._machine = wrong_clock(ahead)._machine
            await api.services.follow_clock()
            await write_heartbeats(api)
            assert await down(api) == ({"api"} if status == 503 else set())
            found = (await api.nobody.get(READY)).json()["problems"]
            assert [problem["loop"] for problem in found] == problems
            with capture_logs() as lines:
                answer = await member.post(TAPS)
            assert answer.status_code == status
            if status == 503:
                assert answer.json()["part"] == "clock"
                (line,) = (line for line in lines if line["event"] == "a request failed")
                assert (line["trace_id"], line["part"]) == (answer.json()["trace_id"], "clock")
                assert answer.headers["retry-after"] == "1"
    finally:
        clock._machine = right


async def test_a_recorded_tap_survives_a_restart_of_postgresql(api: Calling, servers: Servers) -> None:
    member = await api.joined()
    await write_heartbeats(api)
    await servers.postgres.kill()
    await unavailable(member, "postgres")
    assert await down(api) == {"postgres"}
    assert (await api.nobody.get("/health/live")).status_code == 200
    await servers.postgres.start()
    assert await answered(member) == 202
    assert await taps_of(api, member) == 1
    await all_up(api)


async def test_a_database_that_cannot_be_written_is_unavailable(api: Calling, servers: Servers) -> None:
    """As a standby after a failover: it answers, also on connections that were opened before."""
    member = await api.joined()
    await write_heartbeats(api)
    async with api.services.db.connect() as conn:
        name = (await conn.execute(text("SELECT current_database()"))).scalar_one()
    read_only = f"ALTER DATABASE {name} SET default_transaction_read_only = on"
    async with one_statement(api.services.db) as conn:
        await conn.execute(text(read_only))
        await conn.execute(OTHERS_END)
        await conn.execute(text("SET default_transaction_read_only = on"))
    await unavailable(member, "postgres")
    assert (await member.get("/v1/me")).status_code == 200, "it can be read"
    assert await down(api) == {"postgres"}
    async with one_statement(api.services.db) as conn:
        await conn.execute(text("SET default_transaction_read_only = off"))
        await conn.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
        await conn.execute(OTHERS_END)
    assert await answered(member) == 202
    await all_up(api)


@pytest.mark.usefixtures("real_time_limits")
async def test_taps_are_back_soon_after_connections_to_postgresql_went_silent(servers: Servers) -> None:
    async with (
        proxy_to_postgres(servers.settings) as (proxy, url),
        calling(msgspec.structs.replace(servers.settings, database_url=url)) as api,
    ):
        members = [await joined(api) for _ in range(12)]
        with proxy.silent():
            waiting = [asyncio.create_task(member.post(TAPS)) for member in members[1:]]
            await asyncio.sleep(SILENT_S)
        began = time.monotonic()
        assert await answered(members[0]) == 202
        assert time.monotonic() - began < AFTER_SILENCE_S
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} <= {202, 503}
        assert await taps_of(api, members[0]) == 1


async def test_a_valkey_that_cannot_be_written_is_down(api: Calling) -> None:
    await write_heartbeats(api)
    async with Redis.from_url(api.services.settings.state_url) as valkey:
        await valkey.config_set("min-replicas-to-write", 1)
        try:
            assert await down(api) == {"valkey_state", "valkey_queue", "valkey_topics"}
            answer = await api.nobody.get(READY)
            assert int(answer.headers["retry-after"]) >= 1
        finally:
            await valkey.config_set("min-replicas-to-write", 0)
    await write_heartbeats(api)
    assert await down(api) == set()


async def test_readiness_names_the_loop_of_a_process_that_does_not_do_its_work(api: Calling) -> None:
    await write_heartbeats(api)
    await api.services.topics.heartbeat("worker", ["jobs"])
    assert await down(api) == {"worker"}
    (problem,) = (await api.nobody.get(READY)).json()["problems"]
    assert (problem["process"], problem["loop"]) == ("worker", "jobs")


async def test_a_recorded_tap_survives_a_restart_of_valkey(api: Calling, servers: Servers) -> None:
    member = await api.joined()
    await servers.valkey.kill()
    await unavailable(member, "valkey")
    assert await down(api) == {"valkey_state", "valkey_queue", "valkey_topics", "worker", "feed"}
    await servers.valkey.start()
    assert await answered(member) == 202
    problem(await member.post(TAPS), 409, "already_tapped")
    assert await taps_of(api, member) == 1


async def test_without_valkey_members_can_read_their_balance(api: Calling, servers: Servers) -> None:
    member = await api.joined()
    await servers.valkey.kill()
    for path in ("/v1/me", "/v1/me/credits", "/v1/me/entries"):
        assert (await member.get(path)).status_code == 200
    await unavailable(member, "valkey", "/v1/feed/tickets")
    await unavailable(member, "valkey", "/v1/shares", {"kind": "link", "product_id": "band"})
    joined = await api.joined()
    assert (await joined.get("/v1/me")).json()["balance"]["pending"] == 50, (
        "a registration does not need Valkey"
    )


@pytest.mark.usefixtures("real_time_limits")
async def test_a_valkey_that_hangs_is_unavailable_within_seconds(running_servers: Servers) -> None:
    async with calling(running_servers.settings) as api:
        member = await joined(api)
        with running_servers.valkey.hung():
            async with asyncio.timeout(BACK_WITHIN_S):
                await unavailable(member, "valkey", "/v1/feed/tickets")
                await unavailable(member, "valkey")
                assert "valkey_state" in await down(api)
        assert await answered(member) == 202
        assert await taps_of(api, member) == 1


async def test_without_postgresql_a_member_is_not_refused_as_unknown(api: Calling, servers: Servers) -> None:
    member, unseen = await api.joined(), api.member_of("eu-mi-points", "not-in-memory")
    await servers.postgres.kill()
    for caller, path in ((member, "/v1/me"), (unseen, "/v1/me"), (member, "/v1/me/credits")):
        assert problem(await caller.get(path), 503, "unavailable")["part"] == "postgres"
    api.api.keys = ApiKeyCache(api.services.db)
    await unavailable(api.shop, "postgres", "/v1/shop/events", [])
    answer = await member.post(TAPS, idempotency_key="k-1")
    problem(answer, 503, "unavailable")
    await servers.postgres.start()
    async with asyncio.timeout(BACK_WITHIN_S):
        while (again := await member.post(TAPS, idempotency_key="k-1")).status_code in (503, 409):
            await asyncio.sleep(0.02)
    assert again.status_code == 202
    assert "idempotency-replayed" not in again.headers


async def test_a_tap_that_was_under_way_when_postgresql_died_counts_once(
    api: Calling, servers: Servers
) -> None:
    member = await api.joined()
    async with api.services.db.connect() as holder:
        await holder.execute(text("LOCK TABLE stored_credits IN EXCLUSIVE MODE"))
        tap = asyncio.create_task(member.post(TAPS))
        async with asyncio.timeout(BACK_WITHIN_S), api.services.db.connect() as other:
            while not (await other.execute(WAITING)).scalar_one():
                await asyncio.sleep(0.01)
        await servers.postgres.kill()
        problem(await tap, 503, "unavailable")
        await holder.invalidate()
    await servers.postgres.start()
    assert await answered(member) == 202
    assert await taps_of(api, member) == 1


async def test_taps_repeated_through_an_outage_earn_one_credit_each(api: Calling, servers: Servers) -> None:
    members = [await api.joined() for _ in range(12)]
    await api.services.post_commit.drain()

    async def keep_tapping(member: Caller) -> set[int]:
        return {await answered(member) for _ in range(3)}

    tapping = [asyncio.create_task(keep_tapping(member)) for member in members]
    await servers.valkey.kill()
    await servers.valkey.start()
    await servers.postgres.kill()
    await servers.postgres.start()
    statuses = set().union(*await asyncio.gather(*tapping))
    assert statuses <= {202, 409}
    assert [await taps_of(api, member) for member in members] == [1] * len(members)


async def test_an_api_started_first_waits_for_postgresql(servers: Servers) -> None:
    async with calling(servers.settings) as before:
        member = await joined(before)
    await servers.postgres.kill()
    async with calling(servers.settings) as api:
        assert "postgres" in await down(api)
        early = Caller(api.client, member._headers["authorization"], member.member_id)
        await unavailable(early, "postgres")
        await servers.postgres.start()
        assert await answered(early) == 202
        assert "postgres" not in await down(api)
