"""Responses stored under the Idempotency-Key of their request.

Text, not Core: each request with a key asks twice.
"""

from datetime import datetime, timedelta
from typing import Literal

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# A request without a response for so long has died with its server; the next one takes its place.
IN_FLIGHT_LIMIT = timedelta(seconds=60)

_BEGIN = text("""
INSERT INTO idempotency_keys AS i (caller, key, fingerprint, created_at)
VALUES (:caller, :key, :fingerprint, :now)
ON CONFLICT (caller, key) DO UPDATE SET created_at = excluded.created_at
    WHERE i.status IS NULL AND i.fingerprint = excluded.fingerprint AND i.created_at < :abandoned
RETURNING 1
""")

_FIND = text("""
SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE caller = :caller AND key = :key
""")

_FINISH = text("""
UPDATE idempotency_keys SET status = :status, headers = CAST(:headers AS jsonb), body = :body
WHERE caller = :caller AND key = :key
""")

_ABANDON = text("DELETE FROM idempotency_keys WHERE caller = :caller AND key = :key AND status IS NULL")

_DELETE = text("DELETE FROM idempotency_keys WHERE created_at < :before")


class StoredResponse(msgspec.Struct, frozen=True):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


Begun = StoredResponse | Literal["new", "in_flight", "other_request"]


async def begin(conn: AsyncConnection, caller: str, key: str, *, fingerprint: bytes, now: datetime) -> Begun:
    """Begin a request, and find out what to do with it.

    "new": process it now. A stored response: give it again. "in_flight": another process is at it.
    "other_request": the key belongs to a request with another fingerprint.
    """
    which = {"caller": caller, "key": key}
    begun = await conn.execute(
        _BEGIN, which | {"fingerprint": fingerprint, "now": now, "abandoned": now - IN_FLIGHT_LIMIT}
    )
    if begun.first() is not None:
        return "new"
    row = (await conn.execute(_FIND, which)).one_or_none()
    if row is None:
        return "in_flight"  # It was abandoned between the two statements.
    if bytes(row.fingerprint) != fingerprint:
        return "other_request"
    if row.status is None:
        return "in_flight"
    return StoredResponse(row.status, [(name, value) for name, value in row.headers], bytes(row.body))


async def finish(conn: AsyncConnection, caller: str, key: str, answer: StoredResponse) -> None:
    """Store the response of a request that was begun."""
    headers = msgspec.json.encode(answer.headers).decode()
    await conn.execute(
        _FINISH,
        {"caller": caller, "key": key, "status": answer.status, "headers": headers, "body": answer.body},
    )


async def abandon(conn: AsyncConnection, caller: str, key: str) -> None:
    """Drop a request that failed; the same request is new again."""
    await conn.execute(_ABANDON, {"caller": caller, "key": key})


async def delete_before(conn: AsyncConnection, *, before: datetime) -> int:
    """Delete what was stored before an instant of wall time; the number of rows."""
    return (await conn.execute(_DELETE, {"before": before})).rowcount
