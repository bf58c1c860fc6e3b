"""Who is calling: a member by a token, the shop or an operator by a key."""

import hashlib
import time
from typing import Final

from litestar.types import Scope
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.refusals import Code, Refusal
from engage.flows.operations.keys import find_key
from engage.store.api_keys import ApiKey
from engage.store.api_keys import Scope as KeyScope
from engage.tokens.verifier import unauthorized

# How long a key that was revoked, or was made just now, may be taken for what it was before.
KEY_KNOWN_S: Final = 5.0
KEYS_KNOWN: Final = 1_000


class Looked(Struct, frozen=True):
    """What the database said of a key, and until when (monotonic) that is believed."""

    key: ApiKey | None
    until: float


class KeyRing:
    """Keys by their hashes, so that a shop's thousand requests ask the database once."""

    def __init__(self, db: AsyncEngine) -> None:
        self._db = db
        self._looked: dict[bytes, Looked] = {}

    async def find(self, key: str) -> ApiKey | None:
        """Raises Unavailable."""
        digest = hashlib.sha256(key.encode()).digest()
        looked = self._looked.get(digest)
        if looked is None or looked.until < time.monotonic():
            found = await find_key(self._db, key)
            self._looked.pop(digest, None)
            if len(self._looked) >= KEYS_KNOWN:
                del self._looked[next(iter(self._looked))]
            looked = self._looked[digest] = Looked(found, time.monotonic() + KEY_KNOWN_S)
        return looked.key


def bearer(scope: Scope) -> str:
    """The credentials of a request. Raises Refusal unauthorized where there are none, or several."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) != 1 or found[0][:7].lower() != b"bearer ":
        raise unauthorized()
    return found[0][7:].strip().decode("latin-1")


async def key_of(ring: KeyRing, scope: Scope, needed: KeyScope) -> ApiKey:
    """Raises Refusal unauthorized without a good key, forbidden where it is for something else."""
    key = await ring.find(bearer(scope))
    if key is None:
        raise unauthorized()
    if needed not in key.scopes:
        raise Refusal(Code.FORBIDDEN, scope=needed)
    return key
