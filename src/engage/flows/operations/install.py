"""Prepare an installation: the schema, the preset programs, the sandbox's keys. Safe to repeat."""

from importlib import resources

import structlog
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from msgspec import structs
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from engage import programs, sandbox_secrets
from engage.connections.schema_version import PART
from engage.domain.refusals import Unavailable
from engage.flows.campaigns.presets import add_presets
from engage.flows.operations.demo_draw import open_demo_draw
from engage.flows.operations.keys import add_key
from engage.flows.operators.accounts import create_operator, list_operators
from engage.flows.programs.older_presets import OlderPreset, older_presets
from engage.flows.programs.publish import publish
from engage.gate.client import open_gate
from engage.runtime.database import open_database, transaction
from engage.runtime.database_clock import installation_time, open_clock
from engage.runtime.program_cache import parsed
from engage.settings import Settings
from engage.store import programs as store
from engage.store import sandbox_clock
from engage.store.api_keys import Scope
from engage.store.audit_log import INSTALLATION
from engage.store.members.members import has_members

log = structlog.get_logger()


async def install(settings: Settings) -> list[OlderPreset]:
    """Prepare what the processes of `engage up` need. Return the presets of which an older release has
    published other rules: they stay as they are. Raises Unavailable, DocumentError.
    """
    await migrate(settings)
    db = open_database(settings.database_url, pool_size=1)
    try:
        older = await _publish_presets(settings, db)
        if settings.sandbox is not None:
            await _begin_sandbox(db, sandbox_secrets.read(settings.sandbox))
            await _open_demo_store(settings, db)
        await add_presets(settings, db)
    finally:
        await db.dispose()
    gate = open_gate(settings.state_url)
    try:
        await gate.install()
    finally:
        await gate.close()
    return older


async def _publish_presets(settings: Settings, db: AsyncEngine) -> list[OlderPreset]:
    """Publish the presets that are not published yet. Published ones are neither validated nor played again.

    An older release may have published another text of a version. It stays in force: new rules need a new
    version name. Nor does a version that is new in this release begin for the members of a program unasked.
    """
    async with transaction(db) as conn:
        published = await store.read_all(conn)
        stored = {(row.program_id, row.version): row.document for row in published}
        missing = {program for program, version in _presets() if (program, version) not in stored}
        running = {program for program in sorted(missing) if await has_members(conn, program)}
    unchanged = True
    for (program, version), document in _presets().items():
        if (program, version) not in stored and program in running:
            unchanged = False
        elif (program, version) not in stored:
            name = f"{program}/{version}"
            clock = await open_clock(settings, db)
            await publish(db, document, source=name, operator=INSTALLATION, clock=clock)
        else:
            unchanged &= stored[program, version] == document
    if unchanged:
        return []
    async with transaction(db) as conn:
        programs_now = parsed(await store.read_all(conn))
    older = older_presets(versions[-1] for versions in programs_now.values())
    for preset in older:
        log.warning("a preset of an older release is published, and stays", **structs.asdict(preset))
    return older


async def _open_demo_store(settings: Settings, db: AsyncEngine) -> None:
    """Publish the program of the demo store, which stays as it was first published, and open a draw in it."""
    async with transaction(db) as conn:
        known = any(row.program_id == programs.DEMO_STORE for row in await store.read_all(conn))
    if not known:
        document, clock = programs.text(programs.DEMO_STORE), await open_clock(settings, db)
        await publish(db, document, source=programs.DEMO_STORE, operator=INSTALLATION, clock=clock)
    async with transaction(db) as conn:
        await open_demo_draw(settings, conn)


def _presets() -> dict[tuple[str, str], str]:
    """The texts of all presets by program and version, the versions of a program from the oldest on."""
    found = {}
    for name, document in programs.presets().items():
        program, version = name.split("/")
        found[program, version] = document
    return found


async def migrate(settings: Settings) -> None:
    """Upgrade the schema to the newest revision. Processes are disconnected while it changes.

    Raises Unavailable if a newer release has migrated it already.
    """
    config = Config()
    config.set_main_option("script_location", str(resources.files("engage") / "migrations"))

    def upgrade(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    # No time limit: a revision may rewrite a large table.
    db = open_database(settings.database_url, pool_size=1, command_timeout_s=None, any_schema=True)
    try:
        async with db.connect() as conn:
            await conn.run_sync(upgrade)
            await conn.commit()
    except CommandError as error:
        raise Unavailable(PART) from error  # A revision that this release does not know.
    finally:
        await db.dispose()


async def _begin_sandbox(db: AsyncEngine, secrets: sandbox_secrets.SandboxSecrets) -> None:
    now = await installation_time(db)
    async with transaction(db) as conn:
        await sandbox_clock.begin(conn)
        for key, name, scope in _sandbox_keys(secrets):
            await add_key(conn, key, name=name, scopes=[scope], programs=None, operator=INSTALLATION, now=now)
    known = {operator.email for operator in await list_operators(db)}
    for account in secrets.console:
        if account.email not in known:
            await create_operator(
                db, account.email, account.role, None, by=INSTALLATION, password=account.password
            )


def _sandbox_keys(secrets: sandbox_secrets.SandboxSecrets) -> list[tuple[str, str, Scope]]:
    return [
        (secrets.shop_key, "sandbox shop", "shop"),
        (secrets.admin_key, "sandbox operator", "admin"),
        (secrets.approver_key, "sandbox approver", "approve"),
    ]
