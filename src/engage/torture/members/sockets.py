"""Screens of members: sockets of the feed that stay open, break, come back and resume."""

import asyncio
from contextlib import suppress
from random import Random
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.http11 import Response

from engage.torture.endpoints import Endpoints
from engage.torture.record import Closed, Opened, Pushed, Record

OPEN_S: Final = (2.0, 25.0)
PAUSE_S: Final = (0.1, 2.0)
# A push may come so long after the answer to the request that changed something: where the part that was to
# push it is killed, a worker takes outbox rows of five seconds ago, every five seconds.
DELAY_S: Final = 12.0
CONNECT_S: Final = 10.0


class Screen:
    """One screen of a member. `highest`: the highest `seq` that it has seen."""

    def __init__(self, endpoints: Endpoints, record: Record, rng: Random, member: str, token: str) -> None:
        self._endpoints, self._record, self._rng = endpoints, record, rng
        self._member, self._token = member, token
        self._highest: int | None = None

    async def watch(self, end: asyncio.Event) -> None:
        """Keep a socket open most of the time, until `end` is set."""
        while not end.is_set():
            # The record has what was received; the next socket shows what comes of it.
            began = self._record.now()
            with suppress(OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                try:
                    await self._open(end)
                except InvalidStatus as refused:
                    self._note_refusal(refused.response, began)
            await _wait(end, self._rng.uniform(*PAUSE_S))

    async def _open(self, end: asyncio.Event) -> None:
        headers = {"authorization": f"Bearer {self._token}"}
        async with connect(
            self._endpoints.feed_url, additional_headers=headers, open_timeout=CONNECT_S, compression=None
        ) as socket:
            number = self._record.new_id()
            resumed = self._highest if self._rng.random() < 0.5 else None
            self._note(Opened(at=self._record.now(), member=self._member, socket=number, resumed=resumed))
            try:
                if resumed is not None:
                    await socket.send(msgspec.json.encode({"type": "resume", "seq": resumed}))
                await self._read(socket, number, end)
            finally:
                code = socket.close_code
                self._note(Closed(at=self._record.now(), member=self._member, socket=number, code=code))

    async def _read(self, socket: ClientConnection, number: int, end: asyncio.Event) -> None:
        reading = asyncio.create_task(self._receive(socket, number))
        ending = asyncio.create_task(_wait(end, self._rng.uniform(*OPEN_S)))
        try:
            await asyncio.wait([reading, ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, ending):
                task.cancel()
            await asyncio.gather(reading, ending, return_exceptions=True)

    async def _receive(self, socket: ClientConnection, number: int) -> None:
        async for text in socket:
            message: Any = msgspec.json.decode(text)
            self._highest = max(self._highest or 0, message.get("seq", 0))
            self._note(Pushed(at=self._record.now(), member=self._member, socket=number, message=message))

    def _note_refusal(self, response: Response, began: float) -> None:
        body = response.body.decode(errors="replace")
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        self._record.note_failure(
            f"{self._member} feed", ("GET", "/"), began, response.status_code, headers, body
        )

    def _note(self, line: Opened | Pushed | Closed) -> None:
        self._record.add(line)


async def _wait(end: asyncio.Event, after_s: float) -> None:
    try:
        await asyncio.wait_for(end.wait(), after_s)
    except TimeoutError:
        return
