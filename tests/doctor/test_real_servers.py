"""Break what can be broken on real servers, and read the sentence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import make_url

from engage.connections.schema_version import LOCK
from engage.doctor.diagnosis import Diagnosis, diagnose, observe
from engage.doctor.observations import PostgresSeen
from engage.doctor.observe import postgres
from engage.settings import Settings, to_environment
from tests.support.ports import server_port

SECRET = "hunter2-never-shown"


async def examine(settings: Settings, **variables: str) -> Diagnosis:
    return diagnose(await observe(to_environment(settings) | variables, None))


async def sentences(settings: Settings, **variables: str) -> dict[str, str]:
    diagnosis = await examine(settings, **variables)
    return {finding.check: finding.sentence for finding in diagnosis.findings}


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    url = make_url(settings.database_url)
    connection = await asyncpg.connect(
        host=url.query["host"], port=int(str(url.query["port"])), user=url.username, database=url.database
    )
    try:
        yield connection
    finally:
        await connection.close()


async def execute(settings: Settings, statement: str, *values: object) -> None:
    async with connected(settings) as connection:
        await connection.execute(statement, *values)


@asynccontextmanager
async def configured(valkey: Redis, name: str, value: str) -> AsyncIterator[None]:
    before = (await valkey.config_get(name))[name]
    await valkey.config_set(name, value)
    try:
        yield
    finally:
        await valkey.config_set(name, before)


async def test_the_servers_of_the_tests_are_fast_and_unsafe_and_it_is_said(settings: Settings) -> None:
    found = await sentences(settings)
    assert "a power cut can destroy every point" in found["fsync_off"]
    assert found["no_program"] == "No program is in force, so nothing earns points."
    assert found["process_missing"].startswith("No `engage worker` runs")
    assert "server_away" not in found
    assert not any(name.startswith(("tables", "clock", "valkey")) for name in found)


async def test_servers_without_an_answer_are_named_and_the_others_are_examined(settings: Settings) -> None:
    port = server_port()
    dead = f"redis://:{SECRET}@127.0.0.1:{port}/0"
    diagnosis = await examine(settings, ENGAGE_QUEUE_URL=dead)
    away = [finding.sentence for finding in diagnosis.findings if finding.check == "server_away"]
    assert len(away) == 1
    assert away[0].startswith("The Valkey of the queue does not answer: ")
    assert any(finding.check == "no_program" for finding in diagnosis.findings)
    assert SECRET not in repr(diagnosis)

    url = f"postgresql+asyncpg://engage:{SECRET}@127.0.0.1:{port}/engage"
    diagnosis = await examine(settings, ENGAGE_DATABASE_URL=url)
    away = [finding.sentence for finding in diagnosis.findings if finding.check == "server_away"]
    assert len(away) == 1
    assert away[0].startswith("PostgreSQL does not answer: ")
    assert {"fsync_off", "credits_overdue", "no_operator"} <= set(diagnosis.not_checked)
    assert SECRET not in repr(diagnosis)


async def test_another_database_is_said_to_be_missing(settings: Settings) -> None:
    name = make_url(settings.database_url).set(database="nothing_here").render_as_string(hide_password=False)
    found = await sentences(settings, ENGAGE_DATABASE_URL=name)
    assert found["server_away"] == 'PostgreSQL does not answer: database "nothing_here" does not exist.'


async def test_the_version_of_the_tables_is_compared(own_database: Settings, valkey: Redis) -> None:
    await execute(own_database, "UPDATE alembic_version SET version_num = '0001'")
    assert "version 0001" in (await sentences(own_database))["tables_older"]
    await execute(own_database, "UPDATE alembic_version SET version_num = '9999'")
    assert "version 9999" in (await sentences(own_database))["tables_newer"]
    async with connected(own_database) as migrating:
        await migrating.execute(f"SELECT pg_advisory_lock({LOCK})")
        assert "tables_migrating" in await sentences(own_database)
    await execute(own_database, "DROP TABLE alembic_version")
    assert "tables_missing" in await sentences(own_database)


async def test_a_read_only_database_refuses_writes(own_database: Settings, valkey: Redis) -> None:
    name = make_url(own_database.database_url).database
    await execute(own_database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "read-only" in (await sentences(own_database))["postgres_refuses_writes"]


async def test_settings_of_the_database_that_lose_points(own_database: Settings, valkey: Redis) -> None:
    name = make_url(own_database.database_url).database
    await execute(own_database, f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert "can be lost" in (await sentences(own_database))["synchronous_commit_off"]


async def test_what_keeps_a_database_from_its_work(
    own_database: Settings, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LONG_FROM", timedelta())
    async with connected(own_database) as idle:
        await idle.execute("SET application_name = 'a report'")
        await idle.execute("BEGIN")
        await idle.execute("SELECT 1")
        seen = await postgres.observe_postgres(own_database, processes=1)
        assert isinstance(seen, PostgresSeen)
        assert [(each.application, each.state) for each in seen.long_transactions] == [
            ("a report", "idle in transaction")
        ]
    await execute(own_database, "CREATE TABLE twice (n int); INSERT INTO twice VALUES (1), (1)")
    with pytest.raises(asyncpg.UniqueViolationError):
        await execute(own_database, "CREATE UNIQUE INDEX CONCURRENTLY once ON twice (n)")
    await execute(own_database, "SELECT pg_create_physical_replication_slot('forgotten')")
    try:
        found = await sentences(own_database)
    finally:
        await execute(own_database, "SELECT pg_drop_replication_slot('forgotten')")
    assert "once" in found["index_invalid"]
    assert "forgotten" in found["slot_inactive"]


async def test_valkey_that_may_forget_is_named(settings: Settings, valkey: Redis) -> None:
    async with configured(valkey, "maxmemory-policy", "allkeys-lru"):
        found = await sentences(settings)
        assert "maxmemory-policy is allkeys-lru" in found["queue_evicts"]
        assert "state_evicts" in found
    async with configured(valkey, "appendonly", "no"):
        assert "queue_forgets" in await sentences(settings)
    async with configured(valkey, "maxmemory", "1"):
        found = await sentences(settings)
        assert "valkey_full" in found
        assert "maxmemory" in found["valkey_refuses_writes"]


async def test_a_replica_is_named(settings: Settings, valkey: Redis) -> None:
    await valkey.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
    try:
        found = await sentences(settings)
    finally:
        await valkey.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
    assert "replica" in found["valkey_replica"]


async def test_the_libraries_of_the_gate_are_compared(settings: Settings, valkey: Redis) -> None:
    await valkey.execute_command("FUNCTION FLUSH")  # type: ignore[no-untyped-call]
    assert "library_missing" in await sentences(settings)
    library = "#!lua name=engage\nserver.register_function('engage_old', function() return 1 end)"
    await valkey.execute_command("FUNCTION LOAD", "REPLACE", library)  # type: ignore[no-untyped-call]
    try:
        assert "another release" in (await sentences(settings))["library_other"]
    finally:
        await valkey.execute_command("FUNCTION FLUSH")  # type: ignore[no-untyped-call]


async def test_processes_of_two_releases_and_a_failing_loop(settings: Settings, valkey: Redis) -> None:
    from engage.clock import MachineClock
    from engage.connections.servers import Standalone
    from engage.signals.topics import Topics, this_process

    async with Redis.from_url(settings.topics_url) as client:
        topics = Topics(Standalone(client), MachineClock())
        for process in ("api", "feed"):
            await topics.heartbeat(process, release="1 (tables 0001)")
        await topics.heartbeat("worker", ["programs", "clock_off"], release="2 (tables 0002)")
        found = await sentences(settings)
    assert found["loop_fails"] == f"The loop `programs` of worker {this_process()} does not do its work."
    assert "off by more than a second" in found["process_clock_off"]
    assert "1 (tables 0001), 2 (tables 0002)" in found["releases_differ"]
    assert "settle" in found["work_not_done"]
    assert "process_missing" not in found


async def test_work_that_waits_is_counted(settings: Settings) -> None:
    await execute(
        settings,
        "INSERT INTO outbox (id, written_at, cause, program_ids, member_ids)"
        " VALUES (uuidv7(), now() - interval '2 hours', 'settled', '{p}', '{m}')",
    )
    await execute(
        settings,
        "INSERT INTO member_changes (id, at, program_id, member_ids, tries)"
        " VALUES (uuidv7(), '2020-01-01', 'p', '{m}', 3)",
    )
    await execute(
        settings,
        "INSERT INTO program_versions VALUES ('p', '1', '2020-01-01', 'this = \"is no program\"', now())",
    )
    found = await sentences(settings)
    assert found["outbox_old"] == "1 balance changes wait to be published, the oldest for 2 hours."
    assert found["reactions_fail"].startswith("What follows from 1 changes")
    assert "p 1" in found["program_unreadable"]


@pytest.fixture
def set_up(settings: Settings) -> dict[str, str]:
    return to_environment(settings)


async def test_settings_are_read_with_every_mistake_and_without_values(set_up: dict[str, str]) -> None:
    environment = set_up | {
        "ENGAGE_API_PORT": SECRET,
        "ENGAGE_QUEUE_URL": f"amqp://:{SECRET}@queue/",
        "ENGAGE_PEPPER": "short",
        "ENGAGE_PEPER": SECRET,
        "ENGAGE_JWKS": "/no/such/file",
        "ENGAGE_PAYOUTS": "momo",
        "ENGAGE_OIDC_ISSUER": "https://id.example",
        "ENGAGE_OIDC_CLIENT_SECRET": SECRET,
    }
    del environment["ENGAGE_STATE_URL"]
    diagnosis = diagnose(await observe(environment, None))
    said = "\n".join(f"{finding.sentence} {finding.remedy}" for finding in diagnosis.findings)
    assert "ENGAGE_STATE_URL does not fit: it is not set." in said
    assert "ENGAGE_API_PORT does not fit: " in said
    assert "ENGAGE_QUEUE_URL does not fit: it should begin with redis:// or rediss://." in said
    assert "rename it to ENGAGE_PEPPER" in said
    assert "The key set /no/such/file cannot be read" in said
    assert "ENGAGE_MOMO_KEY is not set" in said
    assert "ENGAGE_OIDC_REDIRECT_URL is not set" in said
    assert "fewer than 16 characters" in said
    assert SECRET not in repr(diagnosis)


async def test_a_sandbox_beyond_loopback_is_an_error(settings: Settings, tmp_path: Path) -> None:
    found = await sentences(settings, ENGAGE_SANDBOX=str(tmp_path), ENGAGE_API_HOST="0.0.0.0")
    assert "opens it to the network at 0.0.0.0" in found["sandbox_open"]
