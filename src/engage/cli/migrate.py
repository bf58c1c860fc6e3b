"""`engage migrate`: update the tables, and wait for a database that cannot be reached yet."""

import asyncio
from typing import Final

import rich_click as click
import structlog
from sqlalchemy.exc import DBAPIError

from engage import logs
from engage.cli.options import Range
from engage.cli.run import NEWER_TABLES
from engage.connections.postgres import cannot_now
from engage.connections.schema_version import PART
from engage.connections.server_version import ServerTooOld
from engage.domain.refusals import Unavailable
from engage.flows.operations.install import migrate as migrate_database
from engage.settings import Settings, SettingsError, from_environment

AGAIN_S: Final = 1.0

log = structlog.get_logger()


@click.command
@click.option(
    "--wait",
    "wait_s",
    type=Range(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Try again for as long as the database cannot be reached, or another `engage migrate` is at work.",
)
def migrate(wait_s: float) -> None:
    """Update the tables of ENGAGE_DATABASE_URL. Safe to repeat, and to run twice at once."""
    settings = from_environment()
    logs.configure(settings)
    asyncio.run(migrate_within(settings, wait_s))


async def migrate_within(settings: Settings, wait_s: float) -> None:
    """Update the tables. Begin no try later than `wait_s` from now.

    Raises SettingsError where the database cannot be migrated, or could not be reached in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    logged = ""
    while True:
        try:
            await migrate_database(settings)
        except ServerTooOld as error:
            raise SettingsError(f"ENGAGE_DATABASE_URL: {error.detail}") from error
        except (Unavailable, DBAPIError, OSError) as error:
            reason = _reason(error)
            if loop.time() + AGAIN_S > deadline:
                raise SettingsError(reason) from error
            if reason != logged:
                log.warning("waiting for the database", reason=reason)
                logged = reason
            await asyncio.sleep(AGAIN_S)
        else:
            return


def _reason(error: Unavailable | DBAPIError | OSError) -> str:
    """Say why the database cannot be migrated now. Raises what will be the same at the next try."""
    match error:
        case Unavailable() if error.facts["part"] == PART:
            raise SettingsError(NEWER_TABLES) from error
        case Unavailable():
            return "ENGAGE_DATABASE_URL: none of the hosts is a primary"
        case DBAPIError() if not cannot_now(error):
            raise error
        case DBAPIError():
            return f"ENGAGE_DATABASE_URL: {error.orig}"
        case _:
            return f"ENGAGE_DATABASE_URL: {error.strerror or error}"
