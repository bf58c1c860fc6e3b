"""`engage api`, `feed`, `worker`, `migrate`: run one process of an installation.

Each reads the URLs of its servers from environment variables such as ENGAGE_DATABASE_URL before it imports
the process, so that a missing variable is reported at once.
"""

import asyncio

import rich_click as click

from engage.embedded.stacks import write_stacks_on_signal
from engage.settings import SettingsError, from_environment


@click.command
def api() -> None:
    """Serve the HTTP API at ENGAGE_API_HOST and ENGAGE_API_PORT."""
    write_stacks_on_signal()
    settings = from_environment()
    from engage.api.run import run

    run(settings)


@click.command
def feed() -> None:
    """Serve the websocket feed at ENGAGE_FEED_HOST and ENGAGE_FEED_PORT."""
    write_stacks_on_signal()
    settings = from_environment()
    from engage.feed.run import run

    run(settings)


@click.command
def worker() -> None:
    """Do the work that is due, such as settlement. Any number of workers can run at once."""
    write_stacks_on_signal()
    settings = from_environment()
    from workers.run import run

    run(settings)


@click.command
def migrate() -> None:
    """Update the tables of ENGAGE_DATABASE_URL."""
    settings = from_environment()
    from sqlalchemy.exc import DBAPIError

    from engage.cli.run import NEWER_TABLES
    from engage.connections.schema_version import PART
    from engage.connections.server_version import ServerTooOld
    from engage.domain.refusals import Unavailable
    from engage.flows.operations.install import migrate as migrate_database

    try:
        asyncio.run(migrate_database(settings))
    except ServerTooOld as error:
        raise SettingsError(f"ENGAGE_DATABASE_URL: {error.detail}") from error
    except Unavailable as error:
        if error.facts["part"] != PART:
            raise SettingsError("ENGAGE_DATABASE_URL: none of the hosts is a primary") from error
        raise SettingsError(NEWER_TABLES) from error
    except OSError as error:
        raise SettingsError(f"ENGAGE_DATABASE_URL: {error.strerror or error}") from error
    except DBAPIError as error:
        if error.statement is not None:
            raise
        raise SettingsError(
            f"ENGAGE_DATABASE_URL: {error.orig}"
        ) from error  # Login refused, or no such database.
