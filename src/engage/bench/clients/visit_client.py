"""A child program of members who open the app, tap and look again, and of a shop that sends paid orders."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from engage import sandbox_secrets
from engage.bench.clients.load import Connection, Load
from engage.bench.figures import percentile
from engage.bench.setup.child_program import answer_requests
from engage.bench.setup.constants import HOME, HOST, TAPS, member_id
from engage.clock import machine_time
from engage.sandbox_secrets import SandboxSecrets
from engage.tokens.signing import sign

TOKEN_LIFE: Final = timedelta(minutes=15)
PACE_S: Final = 0.005
EVENTS: Final = "/v1/shop/events"
VISITS_PER_BATCH: Final = 20  # For so many visits there is one call of the shop, with as many paid orders.

HOME_FIRST, TAP, HOME_AGAIN, ORDERS = "first home screen", "tap", "next home screen", "batch of paid orders"
_STEPS: Final = ((HOME_FIRST, "GET", HOME, 200), (TAP, "POST", TAPS, 202), (HOME_AGAIN, "GET", HOME, 200))


class MakeVisits(Struct, frozen=True, tag=True):
    """Let members `<prefix><first>` and on visit: `rate` visits a second, or as many as possible without.

    It ends after `seconds`, with the last answer, or with the last of `count` members.
    """

    port: int
    secrets: str
    key: str
    program_id: str
    currency: str
    prefix: str
    first: int
    count: int
    seconds: float
    connections: int
    rate: float | None = None


class Latencies(Struct, frozen=True):
    requests: int
    p50_s: float
    p99_s: float


class VisitsMade(Struct, frozen=True):
    """The visits that were made in so many seconds, latencies by kind, and answers that should not be."""

    visits: int
    seconds: float
    latencies: dict[str, Latencies]
    unexpected: dict[str, int]


class _Visit:
    """The requests of one visit that are still to be sent, the next one first."""

    __slots__ = ("due", "number", "step", "token")

    def __init__(self, number: int, due: float | None) -> None:
        self.number = number
        self.due = due
        self.step = 0
        self.token = ""


class Visits(Load):
    """Visits on a few connections. A visit that finds none free waits, and its latency includes that."""

    def __init__(self, request: MakeVisits, secrets: SandboxSecrets) -> None:
        super().__init__(0, self._next)
        self._request = request
        self._secrets = secrets
        self._free: deque[Connection] = deque()
        self._waiting: deque[_Visit] = deque()
        self._doing: dict[Connection, _Visit] = {}
        self._shop: Connection | None = None
        self._orders: deque[int] = deque()  # Members whose orders are to be sent.
        self._shop_is_busy = False
        self._latencies_of: dict[str, list[float]] = {}
        self._unexpected: Counter[str] = Counter()
        self._begun = self._done = 0
        self._until = 0.0

    async def make(self) -> VisitsMade:
        """Raises RuntimeError if a connection breaks, TimeoutError if answers do not come."""
        request = self._request
        limit_s = request.seconds + 120.0
        result = await self.run(request.port, request.connections + 1, self._start, limit_s=limit_s)
        return VisitsMade(
            self._done,
            result.seconds,
            {
                kind: Latencies(len(all_), percentile(all_, 50), percentile(all_, 99))
                for kind, all_ in self._latencies_of.items()
            },
            dict(self._unexpected),
        )

    async def _start(self, connections: Sequence[Connection]) -> None:
        self._shop, *visitors = connections
        started = time.perf_counter()
        self._until = started + self._request.seconds
        self._free.extend(visitors)
        rate = self._request.rate
        while self._may_begin():
            if rate is None:
                while self._free and self._may_begin():
                    self._send(self._free.popleft(), self._begin(None))
            else:
                due = int((time.perf_counter() - started) * rate) + 1
                while self._begun < due and self._may_begin():
                    visit = self._begin(started + self._begun / rate)
                    if self._free:
                        self._send(self._free.popleft(), visit)
                    else:
                        self._waiting.append(visit)
            await asyncio.sleep(PACE_S)
        self._send_orders()
        self._end_if_done()

    def _may_begin(self) -> bool:
        return time.perf_counter() < self._until and self._begun < self._request.count and not self.has_ended

    def _begin(self, due: float | None) -> _Visit:
        visit = _Visit(self._request.first + self._begun, due)
        self._begun += 1
        return visit

    def _send(self, connection: Connection, visit: _Visit) -> None:
        if not visit.step:
            member = member_id(self._request.prefix, visit.number)
            visit.token = sign(self._secrets, self._request.program_id, member, TOKEN_LIFE)
        self._doing[connection] = visit
        _, method, path, _ = _STEPS[visit.step]
        length = "" if method == "GET" else "content-length: 0\r\n"
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\n{length}authorization: Bearer {visit.token}\r\n\r\n"
        )
        connection.send(head.encode(), visit.due if not visit.step else None)

    def receive(self, connection: Connection, status: bytes, latency: float) -> None:
        if connection is self._shop:
            kind, expected = ORDERS, 200
        else:
            kind, _, _, expected = _STEPS[self._doing[connection].step]
        self._latencies_of.setdefault(kind, []).append(latency)
        if int(status) != expected or (kind is ORDERS and b'"refused":[]' not in connection.response):
            self._unexpected[f"{kind}: {int(status)}"] += 1
        super().receive(connection, status, latency)

    def _next(self, connection: Connection) -> None:
        if connection is self._shop:
            self._shop_is_busy = False
        else:
            visit = self._doing.pop(connection)
            visit.step += 1
            if visit.step < len(_STEPS):
                self._send(connection, visit)
            else:
                self._done += 1
                self._orders.append(visit.number)
                if self._waiting:
                    self._send(connection, self._waiting.popleft())
                elif self._request.rate is None and self._may_begin():
                    self._send(connection, self._begin(None))
                else:
                    self._free.append(connection)
        self._send_orders()
        self._end_if_done()

    def _send_orders(self) -> None:
        """Send a batch, and at the end what is left."""
        last = not self._doing and not self._waiting and not self._may_begin()
        if self._shop_is_busy or len(self._orders) < (1 if last else VISITS_PER_BATCH):
            return
        assert self._shop is not None
        batch = [self._orders.popleft() for _ in range(min(VISITS_PER_BATCH, len(self._orders)))]
        at = machine_time().isoformat()
        body = msgspec.json.encode([self._order_of(number, at) for number in batch])
        head = (
            f"POST {EVENTS} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {self._request.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._shop_is_busy = True
        self._shop.send(head.encode() + body)

    def _order_of(self, number: int, at: str) -> dict[str, object]:
        member = member_id(self._request.prefix, number)
        return {
            "type": "order.paid",
            "id": f"paid-{member}",
            "time": at,
            "program": self._request.program_id,
            "member_id": member,
            "data": {
                "order_id": f"order-{member}",
                "channel": "web",
                "payment": {"method": "card"},
                "lines": [{"line_id": "1", "product_id": "band", "quantity": 3, "paid": 3000}],
                "currency": self._request.currency,
            },
        }

    def _end_if_done(self) -> None:
        if not self._doing and not self._waiting and not self._shop_is_busy and not self._may_begin():
            self.finish()


class VisitClient:
    async def handle(self, request: MakeVisits) -> Struct:
        return await Visits(request, sandbox_secrets.read(Path(request.secrets))).make()


if __name__ == "__main__":
    answer_requests(MakeVisits, VisitClient().handle)
