"""The API keys in use, read together: any number of requests, with any keys, cause a query now and then."""

import asyncio
import time
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from engage.flows.operations.keys import read_active_keys
from engage.store.api_keys import ActiveKey, ApiKey, match, split

# How long a revoked key may still be accepted.
KEYS_TTL_S: Final = 5.0

# How long a new key may still be refused. An unknown key causes a query once in this time at most.
NEW_KEY_S: Final = 1.0


class ApiKeyCache:
    """All active keys, by their ids. There are as many as shop servers and operators."""

    def __init__(self, db: AsyncEngine) -> None:
        self._db = db
        self._keys: dict[str, ActiveKey] = {}
        self._read_at = float("-inf")  # Monotonic seconds.
        self._reading = asyncio.Lock()

    async def find(self, key: str) -> ApiKey | None:
        """Return the active key with this text; None if there is none. Raises Unavailable."""
        if split(key) is None:
            return None
        await self._read_if_older(KEYS_TTL_S)
        known = match(self._keys, key)
        if known is None:
            await self._read_if_older(NEW_KEY_S)
            known = match(self._keys, key)
        return known

    async def _read_if_older(self, age_s: float) -> None:
        if time.monotonic() - self._read_at < age_s:
            return
        async with self._reading:
            # Another request may have read them while this one waited.
            if time.monotonic() - self._read_at >= age_s:
                begun = time.monotonic()
                self._keys = await read_active_keys(self._db)
                self._read_at = begun
