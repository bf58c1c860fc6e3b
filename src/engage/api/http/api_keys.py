"""The API keys in use, read together: any number of requests, with any keys, cause a query now and then."""

import asyncio
import time
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from engage.flows.operations.keys import read_active_keys
from engage.store.api_keys import ActiveKey, ApiKey, match, split

# How long a revoked key may still be accepted.
KEYS_TTL_S: Final = 5.0

# An unknown key may be new, so it waits for a read that begins after it came. Reads begin this far apart.
READ_INTERVAL_S: Final = 0.2


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
        arrived = time.monotonic()
        await self._read_since(arrived - KEYS_TTL_S)
        known = match(self._keys, key)
        if known is None:
            await self._read_since(arrived)
            known = match(self._keys, key)
        return known

    async def _read_since(self, earliest: float) -> None:
        """Read the keys, unless the last read began at `earliest` or later."""
        if self._read_at >= earliest:
            return
        async with self._reading:
            # Another request may have read them while this one waited.
            if self._read_at < earliest:
                await asyncio.sleep(max(0.0, self._read_at + READ_INTERVAL_S - time.monotonic()))
                begun = time.monotonic()
                self._keys = await read_active_keys(self._db)
                self._read_at = begun
