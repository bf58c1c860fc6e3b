"""The baseline of `tap` for durability: one call of Valkey and one INSERT in a transaction for each request.

It verifies tokens as the API does, with a cache, and inserts the same row into the same table. It moves no
balance, publishes nothing, and loses the day's tap if the transaction fails.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from litestar import Request, Response, post
from litestar.datastructures import State
from msgspec import Struct
from redis.asyncio import Redis

from engage.bench.baselines.litestar_server import open_pool, run
from engage.bench.setup.constants import PRESET, PROGRAM, TAPS
from engage.bench.setup.members import tap_credit
from engage.clock import Clock, MachineClock
from engage.ledger.accept import why_json
from engage.live_settings import LiveSettings
from engage.programs import preset
from engage.runtime.ids import new_id
from engage.settings import Settings
from engage.tokens.verifier import TokenVerifier, open_verifier

DAY_S = 2 * 86_400

_INSERT = """
INSERT INTO stored_credits (account, id, source_key, rule_id, decision, points, state, activity_at,
                            accepted_at, due_at, expires_at)
SELECT account, $3, $4, $5, $6, $7, 'pending', $8, $8, $9, $10
FROM balances WHERE program_id = $1 AND member_id = $2
"""

# Which one it is makes no difference to what a request costs.
_DECISION = """
INSERT INTO decisions (digest, program_version, why)
SELECT sha256(convert_to(CAST(why AS text), 'UTF8')), why ->> 'version', why
FROM (SELECT CAST($1 AS jsonb) AS why) w
RETURNING id
"""


class Resources(Struct, frozen=True):
    clock: Clock
    db: asyncpg.Pool
    valkey: Redis
    verifier: TokenVerifier
    decision: int


class TapResponse(Struct, frozen=True):
    id: UUID
    rule: str
    points: int
    state: str
    due_at: datetime | None


@post(TAPS, status_code=202)
async def tap(request: Request[Any, Any, Any], state: State) -> TapResponse | Response[None]:
    """Insert a credit for the member of the token."""
    resources: Resources = state.resources
    token = request.headers["authorization"].removeprefix("Bearer ")
    member_id = resources.verifier.verify(token).member_id
    now = resources.clock.now()
    program = preset(PRESET)
    credit = tap_credit(program, now)
    key = f"plain:{member_id}:{credit.source_key}"
    if not await resources.valkey.set(key, 1, nx=True, ex=DAY_S):
        return Response(None, status_code=409)
    id_ = new_id()
    async with resources.db.acquire() as connection, connection.transaction():
        await connection.execute(
            _INSERT,
            PROGRAM,
            member_id,
            id_,
            credit.source_key,
            credit.rule_id,
            resources.decision,
            credit.points,
            now,
            credit.due_at,
            credit.expires_at,
        )
    return TapResponse(id_, credit.rule_id, credit.points, "pending", credit.due_at)


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    clock = MachineClock()
    verifier = await open_verifier(LiveSettings(settings), clock)
    async with Redis.from_url(settings.state_url) as valkey, open_pool(settings) as db:
        credit = tap_credit(preset(PRESET), clock.now())
        decision = await db.fetchval(_DECISION, why_json(credit.why))
        yield Resources(clock, db, valkey, verifier, decision)


if __name__ == "__main__":
    run([tap], open_resources)
