"""Run the work of a command on an installation, and show expected failures in one line."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.connections.server_version import ServerTooOld
from engage.domain.document.errors import DocumentError
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.embedded.installation import open_installation
from engage.runtime.database import open_database
from engage.runtime.services import Services, open_services
from engage.settings import Settings

T = TypeVar("T")

OTHER_SCHEMA = (
    "the tables have another version than this release works on, or are being migrated: a newer release needs"
    " `engage migrate`, an older one an upgrade"
)
# Migrating does not change tables back.
NEWER_TABLES = "a newer release of engage has changed the tables: upgrade engage"

_UNKNOWN = {Code.UNKNOWN_PROGRAM: "program", Code.UNKNOWN_MEMBER: "member"}


def run(work: Coroutine[Any, Any, T], *, hint: str = "") -> T:
    """Return the result. `hint` follows the message that a server does not answer.

    Raises ClickException for an unavailable server, an unreadable version, an unknown program or member.
    """
    try:
        return asyncio.run(work)
    except ServerTooOld as error:
        raise click.ClickException(error.detail) from error
    except Unavailable as error:
        part = error.facts["part"]
        raise click.ClickException(
            OTHER_SCHEMA if part == "schema" else f"{part} does not answer{hint}"
        ) from error
    except Refusal as refusal:
        if refusal.code not in _UNKNOWN:
            raise
        raise click.ClickException(f"there is no such {_UNKNOWN[refusal.code]}") from None
    except DocumentError as error:
        raise click.ClickException(f"a published version cannot be read: {error}") from error


def run_with_settings(data: Path | None, work: Callable[[Settings], Awaitable[T]]) -> T:
    """Run work with the settings of an installation: of a folder, or the default one (`data_option`).

    Raises as `run`, and InstallationError, SettingsError.
    """

    async def open_and_work() -> T:
        async with open_installation(data) as settings:
            return await work(settings)

    return run(open_and_work())


def run_with_database(data: Path | None, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """Run work on the database of an installation. Raises as `run_with_settings`."""

    async def open_and_work(settings: Settings) -> T:
        db = open_database(settings.database_url, pool_size=1)
        try:
            return await work(db)
        finally:
            await db.dispose()

    return run_with_settings(data, open_and_work)


def run_with_services(data: Path | None, work: Callable[[Services], Awaitable[T]], *, hint: str = "") -> T:
    """Run work with services that follow the sandbox's clock. Statements have no time limit.

    Raises as `run_with_settings`.
    """

    async def open_and_work() -> T:
        async with (
            open_installation(data) as settings,
            open_services(settings, command_timeout_s=None) as services,
        ):
            await services.follow_clock()
            return await work(services)

    return run(open_and_work(), hint=hint)
