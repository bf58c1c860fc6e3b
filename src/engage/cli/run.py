"""Run the work of a command, and turn expected failures into one line for the terminal."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import rich_click as click

from engage.domain.document.errors import DocumentError
from engage.domain.refusals import Code, Refusal, Unavailable

T = TypeVar("T")

_UNKNOWN = {Code.UNKNOWN_PROGRAM: "program", Code.UNKNOWN_MEMBER: "member"}


def run(work: Coroutine[Any, Any, T], *, hint: str = "") -> T:
    """Return the result. `hint` follows the message that a server does not answer.

    Raises ClickException for an unavailable server, an unreadable version, an unknown program or member.
    """
    try:
        return asyncio.run(work)
    except Unavailable as error:
        raise click.ClickException(f"{error.facts['part']} does not answer{hint}") from error
    except Refusal as refusal:
        if refusal.code not in _UNKNOWN:
            raise
        raise click.ClickException(f"there is no such {_UNKNOWN[refusal.code]}") from None
    except DocumentError as error:
        raise click.ClickException(f"a published version cannot be read: {error}") from error
