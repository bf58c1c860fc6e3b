"""Prepare an installation: the schema, the preset programs, the sandbox's keys. Safe to repeat."""

from importlib import resources

import structlog
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from engage import programs, sandbox_secrets
from engage.connections.schema_version import PART
from engage.domain.refusals import Unavailable
from engage.flows.programs.publish import publish
from engage.gate.client import open_gate
from engage.runtime.database import open_database, transaction
from engage.runtime.database_clock import database_time
from engage.settings import Settings
from engage.store import api_keys, sandbox_clock
from engage.store import programs as store

log = structlog.get_logger()


async def install(settings: Settings) -> None:
    """Prepare what the processes of `engage up` need. Raises Unavailable, DocumentError."""
    await migrate(settings)
    db = open_database(settings.database_url, pool_size=1)
    try:
        await _publish_presets(db, past_allowed=settings.sandbox is not None)
        if settings.sandbox is not None:
            await _begin_sandbox(db, sandbox_secrets.read(settings.sandbox))
    finally:
        await db.dispose()
    gate = open_gate(settings.state_url)
    try:
        await gate.install()
    finally:
        await gate.close()


async def _publish_presets(db: AsyncEngine, *, past_allowed: bool) -> None:
    """Publish the presets that are not published yet. Published ones are neither parsed nor played again.

    An older release may have published another text of a version. It stays in force: new rules need a new
    version name.
    """
    async with transaction(db) as conn:
        stored = {(row.program_id, row.version): row.document for row in await store.read_all(conn)}
    for name, document in programs.presets().items():
        program, version = name.split("/")
        if (program, version) not in stored:
            await publish(db, document, source=name, now=await database_time(db), past_allowed=past_allowed)
        elif stored[program, version] != document:
            log.warning(
                "another text of this preset is published, and stays", program=program, version=version
            )


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
    now = await database_time(db)
    async with transaction(db) as conn:
        await sandbox_clock.begin(conn)
        await api_keys.add(
            conn, secrets.shop_key, name="sandbox shop", scopes=["shop"], programs=None, now=now
        )
        await api_keys.add(
            conn, secrets.admin_key, name="sandbox operator", scopes=["admin"], programs=None, now=now
        )
