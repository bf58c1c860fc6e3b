"""The baselines of `checkout`: a transaction for each request, and handlers that do nothing.

The transaction locks the balance, moves points, and writes the hold and an entry. It has no lots, so it does
not know which points were spent; no caps, coupons or repeated requests; and it publishes nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from msgspec import Struct

from engage.bench.baselines.litestar_server import open_pool, run
from engage.clock import Clock, MachineClock
from engage.flows.checkout.hold import HoldRequest
from engage.runtime.ids import new_id
from engage.settings import Settings

HOLD_FOR = timedelta(minutes=30)

_LOCK = "SELECT active, version FROM balances WHERE program_id = $1 AND member_id = $2 FOR UPDATE"
_ADD_HOLD = """
INSERT INTO holds (program_id, member_id, id, purpose, state, points, order_id, currency, created_at,
                   expires_at)
VALUES ($1, $2, $3, 'checkout', 'open', $4, $5, $6, $7, $8)
"""
_CAPTURE = """
UPDATE holds SET state = 'captured', closed_at = $2 WHERE id = $1 AND state = 'open'
RETURNING program_id, member_id, points
"""
_MOVE_POINTS = """
UPDATE balances SET active = active + $3, held = held + $4, version = version + 1
WHERE program_id = $1 AND member_id = $2 RETURNING account, active, version
"""
_ADD_ENTRY = """
INSERT INTO stored_entries (account, seq, kind, at, active_delta, held_delta, house_account, house_delta,
                            balance_after, hold_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""

_decoder = msgspec.json.Decoder(HoldRequest)


class Resources(Struct, frozen=True):
    clock: Clock
    db: asyncpg.Pool


class HoldResponse(Struct, frozen=True):
    hold_id: UUID
    points: int


@post("/plain/holds", status_code=201)
async def hold(request: Request[Any, Any, Any], state: State) -> HoldResponse | Response[None]:
    """Hold points for an order."""
    resources: Resources = state.resources
    wanted = _decoder.decode(await request.body())
    assert isinstance(wanted.points, int)
    now, id_, points = resources.clock.now(), new_id(), wanted.points
    member = (wanted.program, wanted.member_id)
    async with resources.db.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(_LOCK, *member)
        if row is None or row[0] < points:
            return Response(None, status_code=409)
        await connection.execute(
            _ADD_HOLD, *member, id_, points, wanted.order_id, wanted.currency, now, now + HOLD_FOR
        )
        account, active, version = await connection.fetchrow(_MOVE_POINTS, *member, -points, points)
        deltas = (-points, points, None, 0)
        await connection.execute(_ADD_ENTRY, account, version, "hold", now, *deltas, active, id_)
    return HoldResponse(id_, points)


@post("/plain/holds/{hold_id:uuid}/capture", status_code=200)
async def capture(hold_id: UUID, state: State) -> Response[None]:
    """Spend the held points."""
    resources: Resources = state.resources
    now = resources.clock.now()
    async with resources.db.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(_CAPTURE, hold_id, now)
        if row is None:
            return Response(None, status_code=409)
        member, points = (row[0], row[1]), row[2]
        account, active, version = await connection.fetchrow(_MOVE_POINTS, *member, 0, -points)
        deltas = (0, -points, "redeemed", points)
        await connection.execute(_ADD_ENTRY, account, version, "capture", now, *deltas, active, hold_id)
    return Response(None, status_code=200)


EMPTY_HOLD = HoldResponse(UUID(int=0), 0)


@post("/empty/holds", status_code=201)
async def hold_nothing() -> HoldResponse:
    """Return the same response always."""
    return EMPTY_HOLD


@post("/empty/holds/{hold_id:uuid}/capture", status_code=200)
async def capture_nothing(hold_id: UUID) -> None:
    """Return an empty response."""


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    async with open_pool(settings) as db:
        yield Resources(MachineClock(), db)


if __name__ == "__main__":
    run([hold, capture, hold_nothing, capture_nothing], open_resources)
