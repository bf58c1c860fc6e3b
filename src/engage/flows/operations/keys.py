"""Keys of the shop's servers and of operators: made, listed, revoked, recognised."""

from sqlalchemy.ext.asyncio import AsyncEngine

from engage.clock import Clock
from engage.runtime.database import transaction
from engage.store import api_keys
from engage.store.api_keys import ApiKey, ListedKey, Scope


async def create_key(db: AsyncEngine, *, name: str, scopes: list[Scope]) -> str:
    """The key, which is told here and never again: only its hash is kept."""
    key = api_keys.new_key()
    async with transaction(db) as conn:
        await api_keys.add(conn, key, name=name, scopes=scopes, now=Clock().wall())
    return key


async def list_keys(db: AsyncEngine) -> list[ListedKey]:
    """Oldest first, those that were revoked included."""
    async with transaction(db) as conn:
        return await api_keys.list_keys(conn)


async def revoke_key(db: AsyncEngine, key_id: str) -> bool:
    """False when there is no such key in use. APIs that know it take it for a few seconds more."""
    async with transaction(db) as conn:
        return await api_keys.revoke(conn, key_id, now=Clock().wall())


async def find_key(db: AsyncEngine, key: str) -> ApiKey | None:
    """None for what is no key, or one that was revoked. Raises Unavailable."""
    async with transaction(db) as conn:
        return await api_keys.find(conn, key)
