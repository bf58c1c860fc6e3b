"""The client by which torture itself asks an installation: it cannot overlook a server error."""

import asyncio
import time
from typing import Final

import httpx

from engage.torture.record import Record

PAUSE_S: Final = 0.5

_BEGAN: Final = "engage.began"


def open_client(
    record: Record, asker: str, *, base_url: str, timeout_s: float, verify: bool = True
) -> httpx.AsyncClient:
    """Return a client each of whose server errors is noted in the record, whatever its user makes of it."""

    async def begin(request: httpx.Request) -> None:
        request.extensions[_BEGAN] = time.monotonic()

    async def note(response: httpx.Response) -> None:
        if response.status_code < 500:
            return
        request, body = response.request, ""
        try:
            body = (await response.aread()).decode(errors="replace")
        finally:  # The status has been received, even if the body is cut off.
            record.note_failure(
                asker,
                (request.method, request.url.path),
                request.extensions[_BEGAN],
                response.status_code,
                response.headers,
                body,
            )

    return httpx.AsyncClient(
        base_url=base_url,
        timeout=timeout_s,
        verify=verify,
        event_hooks={"request": [begin], "response": [note]},
    )


def may_repeat(error: httpx.HTTPError) -> bool:
    """True for a lost connection and a 503. Any other answer stays what it is."""
    return not isinstance(error, httpx.HTTPStatusError) or error.response.status_code == 503


async def advance(client: httpx.AsyncClient, duration: str) -> None:
    """Advance the sandbox's clock, again until it is answered. Raises HTTPStatusError."""
    while True:
        try:
            (await client.post("/v1/sandbox/clock", json={"advance": duration})).raise_for_status()
        except httpx.HTTPError as error:
            if not may_repeat(error):
                raise
        else:
            return
        await asyncio.sleep(PAUSE_S)
