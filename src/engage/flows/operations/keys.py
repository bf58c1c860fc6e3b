"""API keys of the shop's servers and of operators: create, list, bind, revoke, read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.runtime.database import transaction
from engage.runtime.database_clock import installation_time
from engage.store import api_keys, audit_log
from engage.store.api_keys import ActiveKey, ListedKey, Scope
from engage.store.audit_log import COMMAND_LINE, AuditEntry


async def create_key(
    db: AsyncEngine, *, name: str, scopes: list[Scope], programs: Sequence[str] | None
) -> str:
    """Create a key for programs, or for every program (None), and return it. It cannot be read again: only
    its hash is stored. Raises Unavailable.
    """
    key, now = api_keys.new_key(), await installation_time(db)
    async with transaction(db) as conn:
        await add_key(conn, key, name=name, scopes=scopes, programs=programs, operator=COMMAND_LINE, now=now)
    return key


async def add_key(
    conn: AsyncConnection,
    key: str,
    *,
    name: str,
    scopes: list[Scope],
    programs: Sequence[str] | None,
    operator: str,
    now: datetime,
) -> None:
    """Store a key that was made; one that is stored already stays as it is."""
    added = await api_keys.add(conn, key, name=name, scopes=scopes, programs=programs, now=now)
    if added is not None:
        after = {"name": name, "scopes": scopes, "programs": programs}
        await _log(conn, added, "created", operator=operator, now=now, after=after)


async def list_keys(db: AsyncEngine) -> list[ListedKey]:
    """List all keys, oldest first, revoked ones included. Raises Unavailable."""
    async with transaction(db) as conn:
        return await api_keys.list_keys(conn)


async def bind_key(db: AsyncEngine, key_id: str, programs: Sequence[str] | None) -> bool:
    """Bind a key to programs, or to every program (None); return false if no active key has this id."""
    now = await installation_time(db)
    async with transaction(db) as conn:
        key = await api_keys.lock_key(conn, key_id)
        if key is None:
            return False
        await api_keys.bind(conn, key_id, programs)
        before, after = {"programs": key.programs}, {"programs": programs}
        await _log(conn, key_id, "bound", operator=COMMAND_LINE, now=now, before=before, after=after)
    return True


async def revoke_key(db: AsyncEngine, key_id: str) -> bool:
    """Revoke a key; return false if no active key has this id. APIs accept it for a few more seconds."""
    now = await installation_time(db)
    async with transaction(db) as conn:
        key = await api_keys.lock_key(conn, key_id)
        if key is None:
            return False
        await api_keys.revoke(conn, key_id, now=now)
        before = {"name": key.name, "scopes": key.scopes, "programs": key.programs}
        await _log(conn, key_id, "revoked", operator=COMMAND_LINE, now=now, before=before)
    return True


async def read_active_keys(db: AsyncEngine) -> dict[str, ActiveKey]:
    """Read all active keys, by their ids. Raises Unavailable."""
    async with transaction(db) as conn:
        return await api_keys.read_active(conn)


async def _log(
    conn: AsyncConnection,
    key_id: str,
    action: str,
    *,
    operator: str,
    now: datetime,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    entry = AuditEntry(
        at=now,
        program_id=None,
        operator=operator,
        subject=f"api_key:{key_id}",
        action=action,
        before=before,
        after=after,
    )
    await audit_log.write(conn, entry)
