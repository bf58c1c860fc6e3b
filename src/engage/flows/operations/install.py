"""Making an installation ready: the schema, the preset programs, the sandbox's keys. Safe to repeat."""

from importlib import resources

import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from engage import programs, sandbox_secrets
from engage.clock import Clock
from engage.domain.refusals import Code, Refusal
from engage.flows.programs.publish import publish
from engage.gate.client import open_gate
from engage.runtime.database import open_database, transaction
from engage.settings import Settings
from engage.store import api_keys

log = structlog.get_logger()


async def install(settings: Settings) -> None:
    """What `engage up` does before it starts the parts."""
    await migrate(settings)
    db = open_database(settings.database_url, pool_size=1)
    try:
        for preset in programs.presets():
            await _publish_preset(db, preset)
        if settings.sandbox is not None:
            await _keep_sandbox_keys(db, sandbox_secrets.read(settings.sandbox))
    finally:
        await db.dispose()
    gate = open_gate(settings.state_url)
    try:
        await gate.install()
    finally:
        await gate.close()


async def _publish_preset(db: AsyncEngine, document: str) -> None:
    """An installation of an earlier day may have another text of the same version. What is published stays:
    whoever wants the new rules publishes them as a version of another name.
    """
    try:
        await publish(db, document, source="preset", now=Clock().now())
    except Refusal as refusal:
        if refusal.code is not Code.VERSION_EXISTS:
            raise
        log.warning("another text of this preset is published, and stays", **refusal.facts)


async def migrate(settings: Settings) -> None:
    """Brings the schema to the newest revision, from wherever it is."""
    config = Config()
    config.set_main_option("script_location", str(resources.files("engage") / "migrations"))

    def upgrade(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    db = open_database(settings.database_url, pool_size=1)
    try:
        async with db.connect() as conn:
            await conn.run_sync(upgrade)
            await conn.commit()
    finally:
        await db.dispose()


async def _keep_sandbox_keys(db: AsyncEngine, secrets: sandbox_secrets.SandboxSecrets) -> None:
    now = Clock().now()
    async with transaction(db) as conn:
        await api_keys.add(conn, secrets.shop_key, name="sandbox shop", scopes=["shop"], now=now)
        await api_keys.add(conn, secrets.admin_key, name="sandbox operator", scopes=["admin"], now=now)
