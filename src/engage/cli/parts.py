"""`engage api`, `feed`, `worker`, `migrate`: the parts of an installation, one by one.

Each reads the URLs of its servers from the environment (ENGAGE_DATABASE_URL, ENGAGE_STATE_URL and so on).
"""

import asyncio

import rich_click as click

from engage.settings import from_environment


@click.command
def api() -> None:
    """Serve the HTTP API at ENGAGE_API_HOST and ENGAGE_API_PORT."""
    from engage.api.run import run

    run(from_environment())


@click.command
def feed() -> None:
    """Serve the websocket feed at ENGAGE_FEED_HOST and ENGAGE_FEED_PORT."""
    from engage.feed.run import run

    run(from_environment())


@click.command
def worker() -> None:
    """Settle what falls due. Any number of workers can run at once."""
    from workers.run import run

    run(from_environment())


@click.command
def migrate() -> None:
    """Bring the tables of ENGAGE_DATABASE_URL up to date."""
    from engage.flows.install import migrate as migrate_database

    asyncio.run(migrate_database(from_environment()))
