"""Observe PostgreSQL: one connection, which works on tables of any version."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.clock import machine_time
from engage.connections.postgres import cannot_now
from engage.connections.schema_version import LOCK, newest_version
from engage.connections.server_version import ServerTooOld
from engage.doctor.observations import Absence, DeadRows, LongTransaction, PostgresSeen
from engage.domain.refusals import Unavailable
from engage.runtime.database import open_database
from engage.settings import Settings

NAME: Final = "PostgreSQL"
POOL: Final = 10  # Of each process (`open_database`).
DEADLINE_S: Final = 15.0
STATEMENT_S: Final = 4.0
WRITE_MS: Final = 3_000
LONG_FROM: Final = timedelta(minutes=1)
ANSWERS: Final = 10

_SETTINGS: Final = (
    *("fsync", "full_page_writes", "synchronous_commit", "autovacuum", "log_timezone"),
    *("autovacuum_freeze_max_age", "default_transaction_read_only", "server_version"),
    *("log_error_verbosity", "log_parameter_max_length_on_error", "log_statement"),
)

_SERVER = text("""
SELECT pg_is_in_recovery(), clock_timestamp(), CAST(current_setting('max_connections') AS int),
       CAST(current_setting('superuser_reserved_connections') AS int),
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()),
       (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()),
       EXISTS (
           SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ExclusiveLock'
           AND (classid::int8 << 32) + objid::int8 = :lock AND granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       ),
       to_regclass('alembic_version') IS NOT NULL,
       current_setting('synchronous_standby_names') <> ''
       AND current_setting('synchronous_commit') NOT IN ('off', 'local')
       AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))
""")
_CURRENT = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
_LONG = text("""
SELECT pid, clock_timestamp() - xact_start, coalesce(state, ''), coalesce(application_name, '')
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
  AND xact_start < clock_timestamp() - CAST(:least AS interval)
ORDER BY xact_start LIMIT 5
""")
_DEAD = text("""
SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables
WHERE n_dead_tup > 1000 ORDER BY n_dead_tup DESC LIMIT 10
""")
_SLOTS = text("SELECT slot_name FROM pg_replication_slots WHERE NOT active ORDER BY 1 LIMIT 10")
_INVALID = text("""
SELECT CAST(indexrelid AS regclass)::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT indisvalid AND c.relnamespace = CAST('public' AS regnamespace)
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
""")

# As readiness does: it commits, and changes no row.
_WRITE = text("SELECT pg_logical_emit_message(true, 'engage', 'doctor')")
_WRITE_LIMIT = text(f"SET LOCAL statement_timeout = {WRITE_MS}")
_READ_ONLY = text("SHOW transaction_read_only")
_VERSION = text("SELECT version_num FROM alembic_version")


async def observe_postgres(settings: Settings, *, processes: int) -> PostgresSeen | Absence | None:
    """Observe the server. None without its URL."""
    if not settings.database_url:
        return None
    db = open_database(settings.database_url, pool_size=1, command_timeout_s=STATEMENT_S, any_schema=True)
    try:
        async with asyncio.timeout(DEADLINE_S):
            async with db.connect() as conn:
                return await _observe(conn, pooled=processes * POOL)
    except ServerTooOld as error:
        return Absence(NAME, error.detail)
    except Unavailable as error:
        return Absence(NAME, str(error.facts["part"]))
    except Exception as error:
        if not (cannot_now(error) or isinstance(error, DBAPIError)):
            raise
        return Absence(NAME, reason_of(error))
    finally:
        await db.dispose()


async def _observe(conn: AsyncConnection, *, pooled: int) -> PostgresSeen:
    asked = machine_time()
    server = (await conn.execute(_SERVER, {"lock": LOCK})).one()
    answered = machine_time()
    current = {row[0]: row[1] for row in await conn.execute(_CURRENT, {"names": list(_SETTINGS)})}
    tables = (await conn.execute(_VERSION)).scalar() if server[8] else None
    long = [LongTransaction(*row) for row in await conn.execute(_LONG, {"least": LONG_FROM})]
    dead = [DeadRows(*row) for row in await conn.execute(_DEAD)]
    slots = [row[0] for row in await conn.execute(_SLOTS)]
    invalid = [row[0] for row in await conn.execute(_INVALID)]
    answer_ms = await _answer_ms(conn)
    await conn.rollback()
    return PostgresSeen(
        version=current.get("server_version", ""),
        answer_ms=answer_ms,
        is_standby=server[0],
        write_error="" if server[9] or server[0] else await _write_error(conn),
        tables=tables,
        newest=newest_version(),
        is_migrating=server[7],
        settings=current,
        connections=server[4],
        most_connections=server[2] - server[3],
        pooled=pooled,
        long_transactions=long,
        prepared_transactions=server[6],
        oldest_xid_age=server[5],
        most_xid_age=int(current.get("autovacuum_freeze_max_age", 0)),
        dead_rows=dead,
        inactive_slots=slots,
        invalid_indexes=invalid,
        waits_for_standby=server[9],
        skew=_skew(server[1], asked, answered),
    )


def _skew(shown: datetime, asked: datetime, answered: datetime) -> timedelta:
    """Bound by how far this machine is ahead of the server."""
    if asked <= shown <= answered:
        return timedelta()
    return asked - shown if shown < asked else answered - shown


async def _answer_ms(conn: AsyncConnection) -> float:
    """The shortest time of an empty statement: the way to the server, and not a busy moment."""
    loop, times = asyncio.get_running_loop(), []
    for _ in range(ANSWERS):
        began = loop.time()
        await conn.execute(text("SELECT 1"))
        times.append(loop.time() - began)
    return min(times) * 1_000


async def _write_error(conn: AsyncConnection) -> str:
    """Commit something that changes no row; the reason for which it was refused."""
    try:
        if (await conn.execute(_READ_ONLY)).scalar() == "on":
            return "it is read-only (default_transaction_read_only)"
        await conn.execute(_WRITE_LIMIT)
        await conn.execute(_WRITE)
        await conn.commit()
    except Exception as error:
        if not (cannot_now(error) or isinstance(error, DBAPIError)):
            raise
        return reason_of(error)
    return ""


def reason_of(error: BaseException) -> str:
    """The first line of an error, without the statement and without values."""
    original: Any = getattr(error, "orig", None) or error
    cause = getattr(original, "__cause__", None) or original
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    first = str(cause).strip().partition("\n")[0].rstrip(".")
    return first or type(cause).__name__
