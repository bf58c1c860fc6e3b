"""The version of the tables: no process works on another one than its release was written for.

Each connection of a release compares the version, and keeps a shared lock for as long as it is open. A
migration ends these connections and takes the lock alone, so from its first change on, an older process has
none.
"""

from functools import lru_cache
from importlib import resources
from typing import Final

import asyncpg
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from engage.domain.refusals import Unavailable

PART: Final = "schema"

# An advisory lock of the database. The number has no meaning.
LOCK: Final = 7_310_579_613

WAIT_MS: Final = 500
ATTEMPTS: Final = 60

_TRY_LOCK: Final = f"SELECT pg_try_advisory_lock_shared({LOCK})"
_VERSION: Final = "SELECT version_num FROM alembic_version"
_OTHERS_END: Final = text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::int8 << 32) + objid::int8 = :lock"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND mode = 'ShareLock' AND granted AND pid <> pg_backend_pid()"
)
_LOCK_NOT_AVAILABLE: Final = "55P03"

log = structlog.get_logger()


@lru_cache
def newest_version() -> str:
    """The version that this release works on: the number of its newest migration."""
    folder = resources.files("engage") / "migrations" / "versions"
    return max(file.name[:4] for file in folder.iterdir() if file.name[:4].isdigit())


async def begin_use(driver: asyncpg.Connection) -> None:
    """Take the shared lock for the life of this connection, and compare the version.

    Raises Unavailable while the tables have another version or are being migrated.
    """
    if not await driver.fetchval(_TRY_LOCK):
        raise Unavailable(PART)
    # A statement of its own: it must see what was committed before the lock was free.
    try:
        version = await driver.fetchval(_VERSION)
    except asyncpg.UndefinedTableError:
        version = None
    if version != newest_version():
        _warn(version, newest_version())
        raise Unavailable(PART)


def begin_migration(connection: Connection) -> None:
    """End the connections of all processes, and let none in until `end_migration`.

    Raises DBAPIError if they cannot be ended, or come back for half a minute.
    """
    connection.execute(text(f"SET lock_timeout = {WAIT_MS}"))
    connection.commit()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            # Who waits for the lock keeps others from trying it.
            connection.execute(text(f"SELECT pg_advisory_lock({LOCK})"))
            break
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE or attempt == ATTEMPTS:
                raise
            connection.rollback()
            connection.execute(_OTHERS_END, {"lock": LOCK})
            connection.commit()
    connection.execute(text("RESET lock_timeout"))
    connection.commit()


def end_migration(connection: Connection) -> None:
    connection.execute(text(f"SELECT pg_advisory_unlock({LOCK})"))
    connection.commit()


@lru_cache(16)
def _warn(found: str | None, needed: str) -> None:
    """Log it once, not for each connection."""
    log.error("the tables have another version than this release works on", found=found, needed=needed)
