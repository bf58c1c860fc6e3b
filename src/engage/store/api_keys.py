"""Keys of the shop's servers and of operators: random, scoped, kept as hashes.

A key is `ek_<id>_<secret>`; the secret has 256 random bits, so one SHA-256 of it is as hard to
turn back as the slowest hash of a password.
"""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Scope = Literal["shop", "admin"]


class ApiKey(msgspec.Struct, frozen=True):
    id: str
    name: str
    scopes: tuple[str, ...]


class ListedKey(msgspec.Struct, frozen=True):
    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


_ADD = text("""
INSERT INTO api_keys (id, name, secret_hash, scopes, created_at)
VALUES (:id, :name, :secret_hash, :scopes, :now)
ON CONFLICT (id) DO NOTHING
""")

_FIND = text("SELECT name, secret_hash, scopes FROM api_keys WHERE id = :id AND revoked_at IS NULL")

_LIST = text("SELECT id, name, scopes, created_at, revoked_at FROM api_keys ORDER BY created_at, id")

_REVOKE = text("UPDATE api_keys SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL RETURNING id")


def new_key() -> str:
    return f"ek_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


def split(key: str) -> tuple[str, bytes] | None:
    """(id, hash of the secret), or None for what is not a key at all."""
    prefix, _, rest = key.partition("_")
    id_, _, secret = rest.partition("_")
    if prefix != "ek" or not id_ or not secret or len(key) > 128:
        return None
    return id_, hashlib.sha256(secret.encode()).digest()


async def add(conn: AsyncConnection, key: str, *, name: str, scopes: list[Scope], now: datetime) -> None:
    """Keeps a key made by `new_key`; one that is kept already stays as it is. Raises ValueError."""
    parts = split(key)
    if parts is None:
        raise ValueError("not a key")
    id_, secret_hash = parts
    await conn.execute(
        _ADD, {"id": id_, "name": name, "secret_hash": secret_hash, "scopes": list(scopes), "now": now}
    )


async def find(conn: AsyncConnection, key: str) -> ApiKey | None:
    """The key that this is, unless it is unknown or revoked."""
    parts = split(key)
    if parts is None:
        return None
    id_, secret_hash = parts
    row = (await conn.execute(_FIND, {"id": id_})).one_or_none()
    if row is None or not hmac.compare_digest(bytes(row.secret_hash), secret_hash):
        return None
    return ApiKey(id_, row.name, tuple(row.scopes))


async def list_keys(conn: AsyncConnection) -> list[ListedKey]:
    rows = await conn.execute(_LIST)
    return [ListedKey(r.id, r.name, tuple(r.scopes), r.created_at, r.revoked_at) for r in rows]


async def revoke(conn: AsyncConnection, id_: str, *, now: datetime) -> bool:
    """False when there is no such key in use."""
    return (await conn.execute(_REVOKE, {"id": id_, "now": now})).first() is not None
