"""`engage api`, `feed`, `worker`: run one process of an installation.

Each reads the URLs of its servers from environment variables such as ENGAGE_DATABASE_URL before it imports
the process, so that a missing variable is reported at once.
"""

import rich_click as click

from engage.embedded.stacks import write_stacks_on_signal
from engage.settings import from_environment


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
