"""A cache of API keys, so that a shop's thousand requests query the database once."""

import hashlib
import time
from typing import Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.flows.operations.keys import find_key
from engage.store.api_keys import ApiKey

# How long a revoked key may still be accepted, and a new key refused.
KEY_TTL_S: Final = 5.0
KEYS_CACHED: Final = 1_000


class CachedKey(Struct, frozen=True):
    """A key, or that there is none. `expires_at` is monotonic time."""

    key: ApiKey | None
    expires_at: float


class ApiKeyCache:
    """API keys by their hashes."""

    def __init__(self, db: AsyncEngine) -> None:
        self._db = db
        self._cached: dict[bytes, CachedKey] = {}

    async def find(self, key: str) -> ApiKey | None:
        """Raises Unavailable."""
        digest = hashlib.sha256(key.encode()).digest()
        cached = self._cached.get(digest)
        if cached is None or cached.expires_at < time.monotonic():
            found = await find_key(self._db, key)
            self._cached.pop(digest, None)
            if len(self._cached) >= KEYS_CACHED:
                del self._cached[next(iter(self._cached))]
            cached = self._cached[digest] = CachedKey(found, time.monotonic() + KEY_TTL_S)
        return cached.key
