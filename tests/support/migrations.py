"""Move the tables of a database to a revision, up or down."""

from collections.abc import Callable
from importlib import resources

from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine


async def move(db: AsyncEngine, step: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(resources.files("engage") / "migrations"))

    def run(connection: Connection) -> None:
        config.attributes["connection"] = connection
        step(config, revision)

    async with db.connect() as conn:
        await conn.run_sync(run)
        await conn.commit()
