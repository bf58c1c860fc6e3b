"""Sessions of operators. The browser has a random token, of which only the hash is stored."""

import hashlib
import secrets
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.operators import operator_sessions, operators
from engage.schema.rows import columns, from_row
from engage.store.operators.operators import Operator


class Session(Struct, frozen=True, kw_only=True):
    """A session. Its forms carry the `form_token`, which no other site can know."""

    token_hash: bytes
    operator_id: UUID
    form_token: str
    created_at: datetime
    seen_at: datetime


def hash_of(token: str) -> bytes:
    """Hash a token. It has 256 random bits, so one SHA-256 is enough."""
    return hashlib.sha256(token.encode()).digest()


async def begin(conn: AsyncConnection, operator_id: UUID, *, now: datetime) -> str:
    """Begin a session and return its token, which cannot be read again."""
    token = secrets.token_urlsafe(32)
    row = Session(
        token_hash=hash_of(token),
        operator_id=operator_id,
        form_token=secrets.token_urlsafe(24),
        created_at=now,
        seen_at=now,
    )
    await conn.execute(insert(operator_sessions).values(asdict(row)))
    return token


async def find(conn: AsyncConnection, token_hash: bytes) -> tuple[Session, Operator] | None:
    """Read a session with its operator; None when there is none."""
    session, operator = columns(operator_sessions, Session), columns(operators, Operator)
    query = (
        select(*session, *operator)
        .join_from(operator_sessions, operators, operators.c.id == operator_sessions.c.operator_id)
        .where(operator_sessions.c.token_hash == token_hash)
    )
    row = (await conn.execute(query)).first()
    if row is None:
        return None
    return from_row(Session, row[: len(session)]), from_row(Operator, row[len(session) :])


async def see(conn: AsyncConnection, token_hash: bytes, *, now: datetime) -> None:
    """Write down that a session was used."""
    used = update(operator_sessions).where(operator_sessions.c.token_hash == token_hash)
    await conn.execute(used.values(seen_at=now))


async def end(conn: AsyncConnection, token_hash: bytes) -> None:
    await conn.execute(delete(operator_sessions).where(operator_sessions.c.token_hash == token_hash))


async def end_all(conn: AsyncConnection, operator_id: UUID) -> None:
    """End all sessions of an operator."""
    await conn.execute(delete(operator_sessions).where(operator_sessions.c.operator_id == operator_id))


async def delete_idle(conn: AsyncConnection, *, seen_before: datetime) -> None:
    """Delete sessions that nobody has used for long."""
    await conn.execute(delete(operator_sessions).where(operator_sessions.c.seen_at < seen_before))
