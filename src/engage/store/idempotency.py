"""Answers kept under the Idempotency-Key of the request that they answered."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# A request that has had no answer for so long has died with its server; the next one takes its place.
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

_FORGET = text("DELETE FROM idempotency_keys WHERE created_at < :before")


class StoredResponse(msgspec.Struct, frozen=True):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


Begun = StoredResponse | Literal["new", "in_flight", "other_request"]


async def begin(conn: AsyncConnection, caller: str, key: str, *, fingerprint: bytes, now: datetime) -> Begun:
    """ "new": the caller's to answer now. A kept answer: to be given again."""
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
    headers = msgspec.json.encode(answer.headers).decode()
    await conn.execute(
        _FINISH,
        {"caller": caller, "key": key, "status": answer.status, "headers": headers, "body": answer.body},
    )


async def abandon(conn: AsyncConnection, caller: str, key: str) -> None:
    """The request came to nothing; asking again is a new request."""
    await conn.execute(_ABANDON, {"caller": caller, "key": key})


async def delete_before(conn: AsyncConnection, *, before: datetime) -> int:
    return (await conn.execute(_FORGET, {"before": before})).rowcount
