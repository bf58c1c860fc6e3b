"""Keys of the shop's servers and of operators: random, scoped, stored as hashes.

A key is `ek_<id>_<secret>`; the secret has 256 random bits, so one SHA-256 of it is as hard to
reverse as the slowest hash of a password.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.identity import Operator
from engage.domain.refusals import Code, Refusal
from engage.schema.api_keys import api_keys
from engage.schema.rows import columns, from_row

# An admin key also opens what an approver's key does.
Scope = Literal["shop", "admin", "approve"]


class ApiKey(msgspec.Struct, frozen=True):
    """A key in use. It opens the calls about its `programs`, or about every program (None)."""

    id: str
    name: str
    scopes: tuple[str, ...]
    programs: tuple[str, ...] | None

    @property
    def operator(self) -> Operator:
        return Operator(self.id, self.name)

    def opens(self, program_id: str) -> bool:
        return self.programs is None or program_id in self.programs

    def check(self, program_id: str) -> None:
        """Raises Refusal other_program."""
        if not self.opens(program_id):
            raise Refusal(Code.OTHER_PROGRAM, program=program_id)


class ActiveKey(msgspec.Struct, frozen=True):
    """A key that is in use, and the hash that its secret must have."""

    key: ApiKey
    secret_hash: bytes


class ListedKey(msgspec.Struct, frozen=True):
    id: str
    name: str
    scopes: tuple[str, ...]
    programs: tuple[str, ...] | None
    created_at: datetime
    revoked_at: datetime | None


def new_key() -> str:
    return f"ek_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


def split(key: str) -> tuple[str, bytes] | None:
    """Split a key into its id and the hash of its secret; None when it has not the form of a key."""
    prefix, _, rest = key.partition("_")
    id_, _, secret = rest.partition("_")
    if prefix != "ek" or not id_ or not secret or len(key) > 128:
        return None
    return id_, hashlib.sha256(secret.encode()).digest()


async def add(
    conn: AsyncConnection,
    key: str,
    *,
    name: str,
    scopes: list[Scope],
    programs: Sequence[str] | None,
    now: datetime,
) -> str | None:
    """Store a key made by `new_key` and return its id; None where it is stored already, and stays as it is.

    Raises ValueError.
    """
    parts = split(key)
    if parts is None:
        raise ValueError("not a key")
    id_, secret_hash = parts
    row = {
        "id": id_,
        "name": name,
        "secret_hash": secret_hash,
        "scopes": scopes,
        "programs": programs,
        "created_at": now,
    }
    added = insert(api_keys).values(row).on_conflict_do_nothing().returning(api_keys.c.id)
    return id_ if (await conn.execute(added)).first() is not None else None


async def read_active(conn: AsyncConnection) -> dict[str, ActiveKey]:
    """Read the keys that are not revoked, by their ids."""
    read = (api_keys.c.id, api_keys.c.name, api_keys.c.scopes, api_keys.c.programs, api_keys.c.secret_hash)
    query = select(*read).where(api_keys.c.revoked_at.is_(None))
    return {
        row.id: ActiveKey(ApiKey(row.id, row.name, row.scopes, row.programs), bytes(row.secret_hash))
        for row in await conn.execute(query)
    }


def match(active: Mapping[str, ActiveKey], key: str) -> ApiKey | None:
    """Return the active key with this text; None if there is none."""
    parts = split(key)
    known = None if parts is None else active.get(parts[0])
    if parts is None or known is None or not hmac.compare_digest(known.secret_hash, parts[1]):
        return None
    return known.key


async def list_keys(conn: AsyncConnection) -> list[ListedKey]:
    rows = await conn.execute(
        select(*columns(api_keys, ListedKey)).order_by(api_keys.c.created_at, api_keys.c.id)
    )
    return [from_row(ListedKey, row) for row in rows]


async def lock_key(conn: AsyncConnection, id_: str) -> ListedKey | None:
    """Read a key and lock it until the transaction ends; None when there is no such key in use."""
    in_use = select(*columns(api_keys, ListedKey)).where(
        api_keys.c.id == id_, api_keys.c.revoked_at.is_(None)
    )
    row = (await conn.execute(in_use.with_for_update())).first()
    return None if row is None else from_row(ListedKey, row)


async def bind(conn: AsyncConnection, id_: str, programs: Sequence[str] | None) -> None:
    """Bind a key to programs, or open every program (None)."""
    await conn.execute(update(api_keys).where(api_keys.c.id == id_).values(programs=programs))


async def revoke(conn: AsyncConnection, id_: str, *, now: datetime) -> None:
    await conn.execute(update(api_keys).where(api_keys.c.id == id_).values(revoked_at=now))
