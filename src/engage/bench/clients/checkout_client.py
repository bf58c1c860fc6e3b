"""A child program that pays orders as a shop does: each connection holds points and then captures them."""

from collections.abc import Sequence

from msgspec import Struct

from engage.bench.clients.load import Connection, Load, LoadResult
from engage.bench.setup.child_program import answer_requests
from engage.bench.setup.constants import HOST, member_id, spread_number

_HOLD_ID = b'"hold_id":"'
_UUID_LENGTH = 36


class PayOrders(Struct, frozen=True, tag=True):
    """Pay one order of each member `<prefix><first>` and on, or with `member` all orders of that member.

    Each is paid with `points`. `base` is the path of holds. With a `population`, orders are of members all
    over it.
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
    member: str | None = None
    population: int | None = None
    limit_s: float = 120.0


async def pay_orders(request: PayOrders) -> LoadResult:
    """Raises RuntimeError if a connection breaks or a hold is refused, TimeoutError after the limit."""
    holds = iter(_hold_requests(request))
    capturing: set[Connection] = set()

    def on_response(connection: Connection) -> None:
        if connection in capturing:
            capturing.discard(connection)
            hold_next(connection)
            return
        at = connection.response.find(_HOLD_ID)
        if at < 0:
            load.fail(f"no hold: {connection.response!r}")
            return
        at += len(_HOLD_ID)
        capturing.add(connection)
        connection.send(_capture_request(request, connection.response[at : at + _UUID_LENGTH]))

    def hold_next(connection: Connection) -> None:
        message = next(holds, None)
        if message is not None:
            connection.send(message)

    async def start(connections: Sequence[Connection]) -> None:
        for connection in connections:
            hold_next(connection)

    load = Load(2 * request.count, on_response)
    connections = min(request.connections, request.count)
    return await load.run(request.port, connections, start, limit_s=request.limit_s)


def _hold_requests(request: PayOrders) -> list[bytes]:
    """Prepare all requests. Their order ids are unique for `prefix` and `first`."""
    messages = []
    for number in range(request.first, request.first + request.count):
        payer = number if request.population is None else spread_number(number, request.population)
        member = request.member or member_id(request.prefix, payer)
        body = (
            f'{{"program":"{request.program_id}","member_id":"{member}","order_id":"{request.prefix}{number}",'
            f'"lines":[{{"line_id":"1","product_id":"band","paid":1000000}}],"shipping":0,'
            f'"payment":{{"method":"card"}},"currency":"{request.currency}","points":{request.points}}}'
        )
        messages.append(_post(request, request.base, body))
    return messages


def _capture_request(request: PayOrders, hold_id: bytes) -> bytes:
    return _post(request, f"{request.base}/{hold_id.decode()}/capture", "")


def _post(request: PayOrders, path: str, body: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {request.key}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


if __name__ == "__main__":
    answer_requests(PayOrders, pay_orders)
