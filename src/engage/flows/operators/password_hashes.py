"""Hashes of passwords: argon2id, computed beside the event loop, a few at a time."""

import asyncio
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# A hash takes 64 MiB for some 50 ms. More at once would only wait for a core.
AT_ONCE: Final = 2

_hasher = PasswordHasher()
_slots = asyncio.Semaphore(AT_ONCE)


async def hash_password(password: str) -> str:
    async with _slots:
        return await asyncio.to_thread(_hasher.hash, password)


async def is_right(password: str, password_hash: str | None) -> bool:
    """Verify a password. Where there is none, false after the same time."""
    async with _slots:
        return await asyncio.to_thread(_verify, password, password_hash) and password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Return whether a hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def _verify(password: str, password_hash: str | None) -> bool:
    try:
        return _hasher.verify(password_hash or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody's password")
