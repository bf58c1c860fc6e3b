"""The time within which Valkey must answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.exceptions import RedisError

from engage.domain.refusals import Unavailable

# A server that does not answer within this time is away.
ANSWER_S: Final = 2.0


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Raises Unavailable when the server fails, or does not answer in time."""
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except (RedisError, OSError) as error:
        raise Unavailable("valkey") from error
