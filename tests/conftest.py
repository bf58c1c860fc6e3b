"""Real servers for the tests: one PostgreSQL and one Valkey for the whole run, fresh databases on request.

`servers`          Settings of the two servers. Their database is empty and not used by tests.
`database`         Settings with a migrated, emptied database, whose sandbox clock shows NOON.
`own_database`     The same, made for one test, which may change the schema.
`module_database`  The same, made for the tests of one file, with Valkey emptied.
`own_installed`    Settings with a new database that has what `engage up` installs, made for one test.
`module_installed` The same, made for the tests of one file, with Valkey emptied.
`valkey`           A client of an emptied Valkey: state, topics and queue.
`settings`         `database`, with Valkey emptied: for tests of several packages.
`cluster`          A Valkey Cluster of three primaries for the whole run.
`state_url`        A standalone Valkey, then the Cluster, emptied: each test that asks for it runs twice.
`state`            A client of `state_url`.
`settings_with_state` `settings`, with the state at `state_url`.

The product's time limits are long (`tests.support.patience`), but with `real_time_limits`.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg
import msgspec
import pytest
import structlog
from redis.asyncio import Redis
from sqlalchemy import make_url

from engage.clock import machine_time
from engage.connections.cluster import open_servers
from engage.connections.servers import Servers
from engage.embedded.installation import running_servers
from engage.embedded.valkey_cluster import Cluster, running_cluster
from engage.runtime.garbage import collect_rarely
from engage.settings import Settings
from tests.support import (
    generated_cases,  # noqa: F401  # Sets hypothesis up.
    raw_rows,
)
from tests.support.a_case_each import Case, a_case_each
from tests.support.clock import NOON, set_sandbox_clock
from tests.support.patience import LONG, REAL, time_limits
from tests.support.proofs import remembered_proofs

if "faketime" in os.environ.get("LD_PRELOAD", ""):
    # libfaketime reads the C environment in every wait of every thread, and crashes if it grows meanwhile.
    # pytest changes it before each step of a test, and click's runner around each command. Python and child
    # processes see the changes all the same; only what C libraries read has to get there.
    READ_BY_C = (b"TZ", b"SSL_CERT_FILE")

    def only_what_c_reads(change: Callable[..., None]) -> Callable[..., None]:
        return lambda name, *value: change(name, *value) if name in READ_BY_C else None

    vars(os).update(putenv=only_what_c_reads(os.putenv), unsetenv=only_what_c_reads(os.unsetenv))

TEMPLATE = "migrated"
INSTALLED = "installed"
CASES = 124
_numbers = count(1)

# Tables with pages, and those that refer to them, which have to be truncated with them. Truncating all tables
# takes longer than most tests.
WRITTEN = """
    WITH RECURSIVE written AS (
        SELECT oid FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
            AND pg_relation_size(oid) > 0
        UNION
        SELECT conrelid FROM pg_constraint JOIN written ON confrelid = written.oid WHERE contype = 'f'
    )
    SELECT oid::regclass::text FROM written
"""
APPEND_ONLY = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgfoid = 'refuse_change'::regproc"

# As in `engage.logs`: a traceback with all locals takes many seconds to render.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cases",
        type=int,
        default=CASES,
        help="requests of tests/security/test_schemathesis.py; others each time where it is not the default",
    )
    parser.addoption(
        "--a-case-each",
        action="store_true",
        help="one case of each test, and those that are about times: for a second run on another day",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--a-case-each"):
        chosen = a_case_each([case_of(item) for item in items])
        config.hook.pytest_deselected(items=[i for i, kept in zip(items, chosen, strict=True) if not kept])
        items[:] = [item for item, kept in zip(items, chosen, strict=True) if kept]


def case_of(item: pytest.Item) -> Case:
    test, _, _ = item.nodeid.partition("[")
    callspec = getattr(item, "callspec", None)
    return Case(test, {} if callspec is None else callspec.params)


def pytest_collection_finish() -> None:
    """Collect garbage as the product's processes do: Python's own way takes much of the time of the tests."""
    collect_rarely()


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    with time_limits(LONG):
        yield


@pytest.fixture(scope="session", autouse=True)
def proofs() -> Iterator[None]:
    with remembered_proofs():
        yield


@pytest.fixture
def real_time_limits(patience: None) -> Iterator[None]:
    with time_limits(REAL):
        yield


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="engage-tests-", ignore_cleanup_errors=True) as folder:
        async with running_servers(Path(folder) / "installation", durable=False) as settings:
            # Statistics are those that a test asks for. Otherwise plans would depend on what an earlier test
            # had written when autovacuum came by.
            await _execute(settings, "ALTER SYSTEM SET autovacuum_analyze_threshold = 2147483647")
            await _execute(settings, "SELECT pg_reload_conf()")
            yield settings


@pytest.fixture(scope="session")
async def migrated(servers: Settings) -> Settings:
    """Create the migrated template of the other databases. Nothing may stay connected to it.

    Rows of the ledger can be written through its views there (`tests.support.raw_rows`).
    """
    from engage.flows.operations.install import migrate

    await _execute(servers, f"CREATE DATABASE {TEMPLATE}")
    await migrate(_with_database(servers, TEMPLATE))
    for statement in raw_rows.STATEMENTS:
        await _execute(servers, statement, database=TEMPLATE)
    return servers


@pytest.fixture(scope="session")
async def shared_database(migrated: Settings) -> AsyncIterator[Settings]:
    async with fresh_database(migrated) as settings:
        yield settings


@pytest.fixture
async def database(shared_database: Settings) -> Settings:
    """The shared database, emptied, which is ten times faster than a new one."""
    await _empty(shared_database)
    return shared_database


@pytest.fixture
async def own_database(migrated: Settings) -> AsyncIterator[Settings]:
    async with fresh_database(migrated) as settings:
        yield settings


@pytest.fixture(scope="module")
async def module_database(migrated: Settings) -> AsyncIterator[Settings]:
    async with fresh_database(migrated) as settings:
        # It knows what members of the same names have done in another database.
        await _empty_valkey(settings)
        yield settings


@pytest.fixture(scope="session")
async def installed_template(migrated: Settings) -> Settings:
    """Create the template with the presets, whose proof takes seconds. Nothing may stay connected to it."""
    from engage.flows.operations.install import install

    await _execute(migrated, f"CREATE DATABASE {INSTALLED} TEMPLATE {TEMPLATE}")
    template = _with_database(migrated, INSTALLED)
    await set_sandbox_clock(template)
    await install(template)
    return migrated


@pytest.fixture
async def own_installed(installed_template: Settings) -> AsyncIterator[Settings]:
    async with fresh_database(installed_template, INSTALLED) as settings:
        yield settings


@pytest.fixture(scope="module")
async def module_installed(installed_template: Settings) -> AsyncIterator[Settings]:
    async with fresh_database(installed_template, INSTALLED) as settings:
        await _empty_valkey(settings)
        yield settings


@pytest.fixture
async def valkey(servers: Settings) -> AsyncIterator[Redis]:
    await _empty_valkey(servers)
    async with Redis.from_url(servers.state_url) as client:
        yield client


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="engage-cluster-", ignore_cleanup_errors=True) as folder:
        async with running_cluster(Path(folder), replicas=0) as running:
            yield running


@pytest.fixture(params=["standalone", "cluster"])
def state_url(request: pytest.FixtureRequest) -> str:
    if request.param == "cluster":
        cluster: Cluster = request.getfixturevalue("cluster")
        return cluster.url
    servers: Settings = request.getfixturevalue("servers")
    return servers.state_url


@pytest.fixture
async def state(state_url: str) -> AsyncIterator[Servers]:
    opened = open_servers(state_url)
    await opened.on_each("FLUSHALL")
    yield opened
    await opened.aclose()


@pytest.fixture
def settings_with_state(database: Settings, valkey: Redis, state_url: str, state: Servers) -> Settings:
    return msgspec.structs.replace(database, state_url=state_url)


@pytest.fixture
def settings(database: Settings, valkey: Redis) -> Settings:
    return database


@asynccontextmanager
async def fresh_database(migrated: Settings, template: str = TEMPLATE) -> AsyncIterator[Settings]:
    name = f"test_{next(_numbers)}"
    await _execute(migrated, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        settings = _with_database(migrated, name)
        await set_sandbox_clock(settings)
        yield settings
    finally:
        await _execute(migrated, f"DROP DATABASE {name} WITH (FORCE)")


def _with_database(settings: Settings, name: str) -> Settings:
    url = make_url(settings.database_url).set(database=name)
    return msgspec.structs.replace(settings, database_url=url.render_as_string(hide_password=False))


async def _empty_valkey(settings: Settings) -> None:
    async with Redis.from_url(settings.state_url) as client:
        await client.flushall()


async def _empty(settings: Settings) -> None:
    connection = await _connect(settings, _name(settings))
    try:
        # A connection that an earlier test left open would keep its tables locked.
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        written = [table for (table,) in await connection.fetch(WRITTEN)]
        append_only = [table for (table,) in await connection.fetch(APPEND_ONLY) if table in written]
        async with connection.transaction():
            for table in append_only:
                await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_stays")
            if written:
                await connection.execute(f"TRUNCATE {', '.join(written)} RESTART IDENTITY")
            for table in append_only:
                await connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_stays")
        await connection.execute("INSERT INTO sandbox_clock (ahead) VALUES ($1)", NOON - machine_time())
    finally:
        await connection.close()


async def _execute(settings: Settings, statement: str, *, database: str = "postgres") -> None:
    connection = await _connect(settings, database)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _connect(settings: Settings, database: str) -> asyncpg.Connection:
    url = make_url(settings.database_url)
    return await asyncpg.connect(
        host=url.query["host"], port=int(str(url.query["port"])), user=url.username, database=database
    )


def _name(settings: Settings) -> str:
    name = make_url(settings.database_url).database
    assert name is not None
    return name
