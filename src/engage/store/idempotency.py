"""Answers that are kept under the Idempotency-Key of their request.

Text, not Core: the API asks for every request with a key. Times are the database's: how long a client may
repeat a request has nothing to do with the sandbox's clock.
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# A key that another transaction has locked belongs to a request that is under way. Nobody waits for the lock,
# because a whole batch would wait. It ends with its transaction, and so with the death of its process.
_LOCK = text("""
SELECT pg_try_advisory_xact_lock(hashtextextended(k.caller || ' ' || k.key, 0))
FROM unnest(CAST(:callers AS text[]), CAST(:keys AS text[])) WITH ORDINALITY AS k (caller, key, number)
ORDER BY k.number
""")

# After the lock, in a statement of its own: it has to see what was committed before the lock was free.
_KNOWN = text("""
SELECT caller, key FROM idempotency_keys
WHERE (caller, key) IN (SELECT * FROM unnest(CAST(:callers AS text[]), CAST(:keys AS text[])))
""")

# An activity that is accepted in several rounds replaces its own answer. Nobody else has its key.
_KEEP = text("""
INSERT INTO idempotency_keys (caller, key, fingerprint, created_at, status, headers, body)
SELECT caller, key, fingerprint, clock_timestamp(), status, headers, body
FROM unnest(
    CAST(:callers AS text[]), CAST(:keys AS text[]), CAST(:fingerprints AS bytea[]),
    CAST(:statuses AS smallint[]), CAST(:headers AS jsonb[]), CAST(:bodies AS bytea[])
) AS a (caller, key, fingerprint, status, headers, body)
ON CONFLICT (caller, key) DO UPDATE SET status = excluded.status, headers = excluded.headers,
    body = excluded.body
WHERE idempotency_keys.fingerprint = excluded.fingerprint
""")

_FIND = text("""
SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE caller = :caller AND key = :key
""")

# Not by clock_timestamp(), which no index can be asked for.
_DELETE = text(
    "DELETE FROM idempotency_keys WHERE created_at < statement_timestamp() - CAST(:age AS interval)"
)


class RequestKey(msgspec.Struct, frozen=True):
    """A key of a caller. Requests under it are the same if their fingerprints are."""

    caller: str
    key: str
    fingerprint: bytes


class StoredResponse(msgspec.Struct, frozen=True):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


async def find(conn: AsyncConnection, key: RequestKey) -> tuple[bytes, StoredResponse] | None:
    """Return the answer under a key with the fingerprint of its request, or None."""
    row = (await conn.execute(_FIND, {"caller": key.caller, "key": key.key})).one_or_none()
    if row is None:
        return None
    response = StoredResponse(row.status, [(name, value) for name, value in row.headers], bytes(row.body))
    return bytes(row.fingerprint), response


async def lock_free(conn: AsyncConnection, keys: Sequence[RequestKey]) -> list[bool]:
    """Lock keys until the transaction ends. Return for each, in order, whether it is free: not repeated among
    `keys`, not locked by another transaction, and without an answer.
    """
    which = {"callers": [key.caller for key in keys], "keys": [key.key for key in keys]}
    locked = (await conn.execute(_LOCK, which)).scalars().all()
    taken = {(row.caller, row.key) for row in await conn.execute(_KNOWN, which)}
    free = []
    for key, is_locked in zip(keys, locked, strict=True):
        name = (key.caller, key.key)
        free.append(is_locked and name not in taken)
        taken.add(name)
    return free


async def keep(conn: AsyncConnection, answers: Sequence[tuple[RequestKey, StoredResponse]]) -> None:
    """Keep the answers of requests whose keys are locked, or whose repetition changes nothing."""
    responses = [response for _, response in answers]
    await conn.execute(
        _KEEP,
        {
            "callers": [key.caller for key, _ in answers],
            "keys": [key.key for key, _ in answers],
            "fingerprints": [key.fingerprint for key, _ in answers],
            "statuses": [response.status for response in responses],
            "headers": [msgspec.json.encode(response.headers).decode() for response in responses],
            "bodies": [response.body for response in responses],
        },
    )


async def delete_older(conn: AsyncConnection, *, than: timedelta) -> int:
    """Delete answers that were kept for longer than this; the number of rows."""
    return (await conn.execute(_DELETE, {"age": than})).rowcount
