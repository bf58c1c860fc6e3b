"""Answers of other servers, read up to a limit."""

from collections.abc import AsyncIterable
from typing import Final

# Sent with requests, and answers are read as they come: a small compressed one can fill the memory.
UNCOMPRESSED: Final = {"accept-encoding": "identity"}


async def read_at_most(chunks: AsyncIterable[bytes], limit_bytes: int) -> bytes:
    """Read chunks as they were sent, up to the one that exceeds the limit."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit_bytes:
            break
    return bytes(body)
