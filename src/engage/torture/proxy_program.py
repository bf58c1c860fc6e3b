"""The program of the proxies: orders in, one JSON a line; an answer out for each. It ends with its input."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import msgspec
import uvloop

from engage.torture.links import Obeyed, Opened, OpenProxies, Order
from engage.torture.proxy import Proxy


class Program:
    def __init__(self) -> None:
        self._proxies: dict[str, Proxy] = {}

    async def handle(self, message: OpenProxies | Order) -> Opened | Obeyed:
        match message:
            case OpenProxies(targets=targets, watched=watched):
                for link, target in targets.items():
                    self._proxies[link] = Proxy(target, watched=link in watched)
                    await self._proxies[link].open()
                return Opened({link: proxy.port for link, proxy in self._proxies.items()})
            case Order():
                return Obeyed(obey(self._proxies[message.link], message))

    async def close(self) -> None:
        for proxy in self._proxies.values():
            await proxy.close()


def obey(proxy: Proxy, order: Order) -> int:
    match order.action:
        case "cut":
            return proxy.cut()
        case "silence":
            proxy.begin_silence()
        case "refuse":
            proxy.begin_refusing()
        case "slow":
            proxy.delay_s = order.delay_s
        case "cut_at_commit":
            proxy.cut_at_commit(_killing(order.pid))
        case "forget_commit":
            return int(proxy.forget_commit())
        case "heal":
            proxy.heal()
    return 0


def _killing(pid: int | None) -> Callable[[], None]:
    def kill() -> None:
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    return kill


async def run() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    decoder = msgspec.json.Decoder(OpenProxies | Order)
    program = Program()
    try:
        while line := await reader.readline():
            answer = await program.handle(decoder.decode(line))
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        await program.close()


if __name__ == "__main__":
    uvloop.run(run())
