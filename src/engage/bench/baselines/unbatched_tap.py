"""What `tap` is compared with: the plain way, one Valkey call and one INSERT transaction a request.

It verifies tokens as the API does, with what was verified kept, and inserts the same row into the same table,
over asyncpg alone. It moves no balance, tells no one, and loses the day's tap when the transaction fails.
"""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import uvloop
from litestar import Litestar, Request, Response, post
from litestar.datastructures import State
from msgspec import Struct
from redis.asyncio import Redis

from engage.api.run import serve
from engage.bench.setup.constants import PROGRAM
from engage.bench.setup.members import tap_credit
from engage.clock import Clock
from engage.ledger.accept import why_json
from engage.programs import preset
from engage.runtime.ids import new_id
from engage.settings import Settings, from_environment
from engage.tokens.verifier import TokenVerifier, open_verifier

DAY_S = 2 * 86_400

CONNECTIONS = 10  # As the API's own pool has.

_INSERT = """
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, due_at, expires_at, why)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $8, $9, $10, $11)
"""


class Plain(Struct, frozen=True):
    clock: Clock
    db: asyncpg.Pool
    valkey: Redis
    verifier: TokenVerifier


class Tapped(Struct, frozen=True):
    id: UUID
    rule: str
    points: int
    state: str
    due_at: datetime | None


@post("/v1/fuel/taps", status_code=202)
async def tap(request: Request[Any, Any, Any], state: State) -> Tapped | Response[None]:
    """One more credit for the member of the token."""
    plain: Plain = state.plain
    token = request.headers["authorization"].removeprefix("Bearer ")
    member_id = plain.verifier.verify(token).member_id
    now = plain.clock.now()
    program = preset(PROGRAM)
    credit = tap_credit(program, now)
    fresh = await plain.valkey.set(f"plain:{member_id}:{credit.source_key}", 1, nx=True, ex=DAY_S)
    if not fresh:
        return Response(None, status_code=409)
    id_ = new_id()
    async with plain.db.acquire() as connection, connection.transaction():
        await connection.execute(
            _INSERT,
            PROGRAM,
            member_id,
            id_,
            credit.source_key,
            credit.rule_id,
            program.version,
            credit.points,
            now,
            credit.due_at,
            credit.expires_at,
            why_json(credit.why),
        )
    return Tapped(id_, credit.rule_id, credit.points, "pending", credit.due_at)


async def _run(settings: Settings) -> None:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        clock, address = Clock(), settings.database_url.replace("+asyncpg", "")
        verifier = await open_verifier(settings, clock)
        async with (
            Redis.from_url(settings.state_url) as valkey,
            asyncpg.create_pool(address, min_size=CONNECTIONS, max_size=CONNECTIONS) as db,
        ):
            app.state.plain = Plain(clock, db, valkey, verifier)
            yield

    app = Litestar([tap], lifespan=[lifespan], openapi_config=None, logging_config=None)
    async with app.lifespan():
        gc.collect()
        gc.freeze()
        await serve(app, host=settings.api_host, port=settings.api_port)


if __name__ == "__main__":
    uvloop.run(_run(from_environment()))
