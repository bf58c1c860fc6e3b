"""The proxies between engage's processes and their servers, in a program of their own.

In this program's event loop they would be slow whenever a member or a check is busy, and engage would look
slow.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from engage.torture.proxy import Target

ORDER_S = 10.0
START_S = 120.0

Answer = TypeVar("Answer", bound=Struct)

Action = Literal["cut", "silence", "refuse", "slow", "cut_at_commit", "forget_commit", "heal"]


class OpenProxies(Struct, frozen=True, tag=True):
    """Open a proxy for each link, by name. `watched` ones lead to PostgreSQL."""

    targets: dict[str, Target]
    watched: list[str]


class Order(Struct, frozen=True, tag=True):
    """Break the link, or heal it. `pid`: the process to kill at the commit whose answer is lost."""

    action: Action
    link: str
    delay_s: float = 0.0
    pid: int | None = None


class Opened(Struct, frozen=True, tag=True):
    """The ports of the proxies by link."""

    ports: dict[str, int]


class Obeyed(Struct, frozen=True, tag=True):
    """`count`: connections that were cut, or 1 where no commit has come."""

    count: int = 0


class Links:
    """Gives orders to the running proxies. A link is named `<process>/<server>`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.ports: dict[str, int] = {}
        self._process = process
        self._lock = asyncio.Lock()
        self._encoder = msgspec.json.Encoder()

    async def open(self, targets: Mapping[str, Target], watched: list[str]) -> None:
        answer = await self._ask(OpenProxies(dict(targets), watched), Opened, within_s=START_S)
        self.ports = answer.ports

    async def order(self, action: Action, link: str, *, delay_s: float = 0.0, pid: int | None = None) -> int:
        return (await self._ask(Order(action, link, delay_s, pid), Obeyed)).count

    async def close(self) -> None:
        """The program ends with its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), ORDER_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _ask(self, message: Struct, answer: type[Answer], *, within_s: float = ORDER_S) -> Answer:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        async with self._lock, asyncio.timeout(within_s):
            stdin.write(self._encoder.encode(message) + b"\n")
            return msgspec.json.decode(await stdout.readline(), type=answer)


@asynccontextmanager
async def open_links(targets: Mapping[str, Target], watched: list[str]) -> AsyncIterator[Links]:
    """Run the proxies in a program that ends with this one, however this one ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "engage.torture.proxy_program"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    links = Links(process)
    try:
        await links.open(targets, watched)
        yield links
    finally:
        await links.close()
