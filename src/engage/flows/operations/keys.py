"""API keys of the shop's servers and of operators: create, list, bind, revoke, read."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from engage.runtime.database import transaction
from engage.runtime.database_clock import database_time
from engage.store import api_keys
from engage.store.api_keys import ActiveKey, ListedKey, Scope


async def create_key(
    db: AsyncEngine, *, name: str, scopes: list[Scope], programs: Sequence[str] | None
) -> str:
    """Create a key for programs, or for every program (None), and return it. It cannot be read again: only
    its hash is stored. Raises Unavailable.
    """
    key, now = api_keys.new_key(), await database_time(db)
    async with transaction(db) as conn:
        await api_keys.add(conn, key, name=name, scopes=scopes, programs=programs, now=now)
    return key


async def list_keys(db: AsyncEngine) -> list[ListedKey]:
    """List all keys, oldest first, revoked ones included. Raises Unavailable."""
    async with transaction(db) as conn:
        return await api_keys.list_keys(conn)


async def bind_key(db: AsyncEngine, key_id: str, programs: Sequence[str] | None) -> bool:
    """Bind a key to programs, or to every program (None); return false if no active key has this id."""
    async with transaction(db) as conn:
        return await api_keys.bind(conn, key_id, programs)


async def revoke_key(db: AsyncEngine, key_id: str) -> bool:
    """Revoke a key; return false if no active key has this id. APIs accept it for a few more seconds."""
    now = await database_time(db)
    async with transaction(db) as conn:
        return await api_keys.revoke(conn, key_id, now=now)


async def read_active_keys(db: AsyncEngine) -> dict[str, ActiveKey]:
    """Read all active keys, by their ids. Raises Unavailable."""
    async with transaction(db) as conn:
        return await api_keys.read_active(conn)
