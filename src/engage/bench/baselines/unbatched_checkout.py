"""What `checkout` is compared with: handlers that do nothing, and the plain way, a transaction a request.

The plain way locks the balance, moves it and writes the hold and an entry, over asyncpg alone. It knows no
lots, so it could not say which points were spent; no caps, coupons or repeated requests; and it tells no one.
"""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import uvloop
from litestar import Litestar, Request, Response, post
from litestar.datastructures import State
from msgspec import Struct

from engage.api.run import serve
from engage.clock import Clock
from engage.flows.checkout.hold import HoldRequest
from engage.runtime.ids import new_id
from engage.settings import Settings, from_environment

CONNECTIONS = 10  # As the API's own pool has.
HOLD_FOR = timedelta(minutes=30)

_LOCK = "SELECT active, version FROM balances WHERE program_id = $1 AND member_id = $2 FOR UPDATE"
_ADD = """
INSERT INTO holds (program_id, member_id, id, purpose, state, points, order_id, currency, created_at,
                   expires_at)
VALUES ($1, $2, $3, 'checkout', 'open', $4, $5, $6, $7, $8)
"""
_CAPTURE = """
UPDATE holds SET state = 'captured', closed_at = $2 WHERE id = $1 AND state = 'open'
RETURNING program_id, member_id, points
"""
_MOVE = """
UPDATE balances SET active = active + $3, held = held + $4, version = version + 1
WHERE program_id = $1 AND member_id = $2 RETURNING active, version
"""
_WRITE = """
INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, held_delta, house_account,
                     house_delta, balance_after, hold_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""

_decoder = msgspec.json.Decoder(HoldRequest)


class Plain(Struct, frozen=True):
    clock: Clock
    db: asyncpg.Pool


class Held(Struct, frozen=True):
    hold_id: UUID
    points: int


@post("/plain/holds", status_code=201)
async def hold(request: Request[Any, Any, Any], state: State) -> Held | Response[None]:
    """Sets points aside."""
    plain: Plain = state.plain
    asked = _decoder.decode(await request.body())
    assert isinstance(asked.points, int)
    now, id_ = plain.clock.now(), new_id()
    who = (asked.program, asked.member_id)
    async with plain.db.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(_LOCK, *who)
        if row is None or row[0] < asked.points:
            return Response(None, status_code=409)
        await connection.execute(
            _ADD, *who, id_, asked.points, asked.order_id, asked.currency, now, now + HOLD_FOR
        )
        active, version = await connection.fetchrow(_MOVE, *who, -asked.points, asked.points)
        moved = (-asked.points, asked.points, None, 0)
        await connection.execute(_WRITE, *who, version, "hold", now, *moved, active, id_)
    return Held(id_, asked.points)


@post("/plain/holds/{hold_id:uuid}/capture", status_code=200)
async def capture(hold_id: UUID, state: State) -> Response[None]:
    """Spends them."""
    plain: Plain = state.plain
    now = plain.clock.now()
    async with plain.db.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(_CAPTURE, hold_id, now)
        if row is None:
            return Response(None, status_code=409)
        who, points = (row[0], row[1]), row[2]
        active, version = await connection.fetchrow(_MOVE, *who, 0, -points)
        moved = (0, -points, "redeemed", points)
        await connection.execute(_WRITE, *who, version, "capture", now, *moved, active, hold_id)
    return Response(None, status_code=200)


NOTHING = Held(UUID(int=0), 0)


@post("/empty/holds", status_code=201)
async def hold_nothing() -> Held:
    """Nothing."""
    return NOTHING


@post("/empty/holds/{hold_id:uuid}/capture", status_code=200)
async def capture_nothing(hold_id: UUID) -> None:
    """Nothing."""


async def _run(settings: Settings) -> None:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        address = settings.database_url.replace("+asyncpg", "")
        async with asyncpg.create_pool(address, min_size=CONNECTIONS, max_size=CONNECTIONS) as db:
            app.state.plain = Plain(Clock(), db)
            yield

    handlers = [hold, capture, hold_nothing, capture_nothing]
    app = Litestar(handlers, lifespan=[lifespan], openapi_config=None, logging_config=None)
    async with app.lifespan():
        gc.collect()
        gc.freeze()
        await serve(app, host=settings.api_host, port=settings.api_port)


if __name__ == "__main__":
    uvloop.run(_run(from_environment()))
