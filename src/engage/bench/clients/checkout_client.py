"""The shop's tills, a hand: each connection holds points for an order, captures them, and takes the next."""

import asyncio
import time

from msgspec import Struct

from engage.bench.clients.http_client import Line, Load, connect, hang_up, load_of
from engage.bench.setup.child_program import obey
from engage.bench.setup.constants import HOST, member_id

_HOLD_ID = b'"hold_id":"'
_UUID = 36


class Pay(Struct, frozen=True, tag=True):
    """An order of each member `<prefix><first>` and on, or with `hot` so many of that one member, each paid
    with `points`. `base` is the path that holds are under.
    """

    port: int
    base: str
    key: str
    program_id: str
    currency: str
    prefix: str
    first: int
    count: int
    points: int
    connections: int
    hot: str | None = None
    limit_s: float = 120.0


async def pay(order: Pay) -> Load:
    """Raises RuntimeError where a connection breaks or a hold is refused, TimeoutError after the limit."""
    done = asyncio.get_running_loop().create_future()
    holds = iter(_holds(order))
    paying: set[Line] = set()
    left = order.count

    def answered(line: Line) -> None:
        nonlocal left
        if line.broken is not None:
            _fail(done, line.broken)
        elif line in paying:
            paying.discard(line)
            left -= 1
            request = next(holds, None)
            if request is not None:
                line.send(request, time.perf_counter())
            elif left == 0 and not done.done():
                done.set_result(None)
        else:
            at = line.answer.find(_HOLD_ID)
            if at < 0:
                _fail(done, f"no hold: {line.answer!r}")
                return
            at += len(_HOLD_ID)
            paying.add(line)
            line.send(_capture(order, line.answer[at : at + _UUID]), time.perf_counter())

    lines, statuses, took = await connect(order.port, min(order.connections, order.count), answered)
    try:
        began, busy = time.perf_counter(), time.process_time()
        for line in lines:
            line.send(next(holds), time.perf_counter())
        async with asyncio.timeout(order.limit_s):
            await done
        return load_of(time.perf_counter() - began, time.process_time() - busy, statuses, took)
    finally:
        await hang_up(lines)


def _fail(done: "asyncio.Future[None]", why: str) -> None:
    if not done.done():
        done.set_exception(RuntimeError(why))


def _holds(order: Pay) -> list[bytes]:
    """Requests made beforehand; order ids differ from those of any other order that was told before."""
    made = []
    for number in range(order.first, order.first + order.count):
        who = order.hot or member_id(order.prefix, number)
        body = (
            f'{{"program":"{order.program_id}","member_id":"{who}","order_id":"{order.prefix}{number}",'
            f'"lines":[{{"line_id":"1","product_id":"band","paid":1000000}}],"shipping":0,'
            f'"payment":{{"method":"card"}},"currency":"{order.currency}","points":{order.points}}}'
        )
        head = f"POST {order.base} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {order.key}\r\n"
        made.append(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
    return made


def _capture(order: Pay, hold_id: bytes) -> bytes:
    path = f"{order.base}/{hold_id.decode()}/capture"
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {order.key}\r\n"
    return f"{head}content-length: 0\r\n\r\n".encode()


if __name__ == "__main__":
    obey(Pay, pay)
