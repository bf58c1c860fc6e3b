"""Verify members' tokens: JWTs with an asymmetric signature, for us, and not for long.

Times are the database's: neither the sandbox's clock nor a machine's can end or prolong a token.
"""

import asyncio
import re
import time
from collections.abc import Set
from pathlib import Path
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta, Struct

from engage.clock import Clock
from engage.decoding.malformed import Malformed
from engage.domain.activity import MemberId
from engage.domain.document.fields import ProgramId
from engage.domain.identity import Identity
from engage.domain.referrals.traits import trait_hash
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.fifo_cache import FifoCache
from engage.live_settings import LiveSettings
from engage.settings import SettingsError
from engage.tokens.compact import TOKEN_BYTES, decoded, parse
from engage.tokens.key_sets import Key, KeyFile, Keys, KeySetError, fetch_keys
from engage.tokens.signing import SANDBOX_LIFETIME

TOKENS_CACHED: Final = 100_000

# An unknown key id may be a new key, so we look for it, but made-up ids cause one look in this time at most.
LOOK_AGAIN_S: Final = 30.0
# A set that could not be read is read again after this time, or after its largest age if that is shorter.
RETRY_S: Final = 30.0

# Characters of the claim `device`.
DEVICE_LENGTH: Final = 128

# The provider's clock may be ahead of ours by this much.
SKEW_S: Final = 30

log = structlog.get_logger()


class _Claims(Struct, frozen=True):
    sub: MemberId
    program: ProgramId
    exp: Annotated[int, Meta(ge=0, le=2**40)]
    iat: Annotated[int, Meta(ge=0, le=2**40)]
    iss: str
    aud: str | list[str]
    nbf: Annotated[int, Meta(ge=0, le=2**40)] = 0
    jti: str = ""
    device: Annotated[str, Meta(max_length=DEVICE_LENGTH)] | None = None
    device_attested: bool | None = None


_claims = msgspec.json.Decoder(_Claims)


class UnknownKey(Refusal):
    """A token names a key that is not in the set that was read last."""

    def __init__(self) -> None:
        super().__init__(Code.UNAUTHORIZED)
        self.reason = "an unknown key"


class TokenVerifier:
    """Verifies tokens against a key set and caches the good ones until they expire.

    `source` is a file, or the https URL of a set, which is fetched in the background: when it is older than
    `jwks_max_age_s`, and when a token names a key that it does not have.
    """

    def __init__(self, live: LiveSettings, clock: Clock, source: KeyFile | str) -> None:
        self._settings = settings = live.now
        self._live = live
        self._clock = clock
        self._source = source
        self._max_lifetime_s = (
            settings.jwt_max_age_s if settings.sandbox is None else int(SANDBOX_LIFETIME.total_seconds())
        )
        self._keys: Keys = {}
        self._left: Set[str] = frozenset()  # The thumbprints of keys that were in the set, and are no more.
        self._loaded_at = float("-inf")  # Monotonic seconds, as are the next.
        self._tried_at = float("-inf")
        self._looked_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._verified: FifoCache[str, Identity] = FifoCache(TOKENS_CACHED)  # The oldest expires first.
        live.listen("pepper", self._verified.clear)  # Identities have hashes.

    async def identify(self, token: str) -> Identity:
        """As `verify`, which it repeats where the token's key may be in a set that is being fetched."""
        try:
            return self.verify(token)
        except (UnknownKey, Unavailable):
            if self._fetching is None:
                raise
            await asyncio.shield(self._fetching)  # Others wait for it, too.
        return self.verify(token)

    def verify(self, token: str) -> Identity:
        """Return the token's member. Raises Refusal unauthorized; Unavailable before any key was read."""
        cached = self._verified.get(token)
        if cached is not None:
            if self._clock.wall().timestamp() < cached.expires_at:
                return cached
            del self._verified[token]
            raise unauthorized("expired")
        identity = self._decode(token)
        self._verified.keep(token, identity)
        return identity

    def _decode(self, token: str) -> Identity:
        if self._is_old():
            self._refresh_keys()
        if len(token) > TOKEN_BYTES:
            raise unauthorized(f"longer than {TOKEN_BYTES} bytes")
        try:
            parsed = parse(token)
            key = self._key(parsed.header.kid)
            # A key says which algorithm it is for; a token only repeats it.
            if parsed.header.alg != key.algorithm:
                raise unauthorized("another algorithm than that of its key")
            if not key.verify(parsed.signed, parsed.signature):
                raise unauthorized("a wrong signature")
            claims = decoded(parsed.claims, _claims)
        except Malformed as error:
            raise unauthorized(f"malformed: {error}") from None
        self._check(claims)
        return self._identity(claims, key)

    def _identity(self, claims: _Claims, key: Key) -> Identity:
        """Only a keyed hash of a device is kept. That of the trait is the same one."""
        device = claims.device and trait_hash(
            claims.program, "device", claims.device, pepper=self._live.now.peppers[0]
        )
        attested = bool(device and claims.device_attested)
        return Identity(claims.program, claims.sub, claims.exp, key.thumbprint, device or b"", attested)

    def _check(self, claims: _Claims) -> None:
        """Raises Refusal unauthorized where a token is not for us, or not for now."""
        if claims.iss != self._settings.jwt_issuer:
            raise unauthorized("another issuer")
        if self._settings.jwt_audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
            raise unauthorized("another audience")
        now = self._clock.wall().timestamp()
        if claims.exp <= now:
            raise unauthorized("expired")
        if claims.exp - claims.iat > self._max_lifetime_s:
            raise unauthorized(f"lives longer than {self._max_lifetime_s} s")
        if max(claims.iat, claims.nbf) > now + SKEW_S:
            raise unauthorized("of the future")

    async def withdrawn(self, in_use: Set[str]) -> Set[str]:
        """Return the thumbprints of keys in use that are not in the key set any more.

        A file is read at each call. A URL is fetched if the set is old, or lacks a key in use that it never
        had: that may be a new one that another process knows, and it is withdrawn only if a set that was
        read since then lacks it, too. While the set cannot be read, no more keys are withdrawn.
        """
        began = time.monotonic()
        unseen = in_use - self._thumbprints() - self._left
        if isinstance(self._source, KeyFile) or unseen or self._is_old():
            self._refresh_keys()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)
        lacking = in_use - self._thumbprints()
        return lacking if self._loaded_at >= began else lacking & self._left

    def _thumbprints(self) -> Set[str]:
        return {key.thumbprint for key in self._keys.values()}

    def _key(self, kid: str) -> Key:
        """Raises UnknownKey where no key has this id; Unavailable before any key was read."""
        if kid not in self._keys:
            self._look_for_new_keys()
        if not self._keys:
            raise Unavailable("jwks")
        if kid not in self._keys:
            raise UnknownKey
        return self._keys[kid]

    def _is_old(self) -> bool:
        return time.monotonic() - self._loaded_at > self._settings.jwks_max_age_s

    def _look_for_new_keys(self) -> None:
        """Refresh the keys because a token names an unknown one."""
        if not isinstance(self._source, str):
            self._refresh_keys()
        elif self._fetching is None and time.monotonic() - self._looked_at >= LOOK_AGAIN_S:
            self._looked_at = time.monotonic()
            self._begin_to_fetch(self._source)

    def _refresh_keys(self) -> None:
        """Read a file now; fetch a URL in the background, if the last try is not too recent."""
        retry_s = min(RETRY_S, self._settings.jwks_max_age_s)
        if self._fetching is not None or time.monotonic() - self._tried_at < retry_s:
            return
        if isinstance(self._source, str):
            self._begin_to_fetch(self._source)
            return
        try:
            self._replace_keys(self._source.read())
        except KeySetError as error:
            self._tried_at = time.monotonic()
            log.warning("the key set cannot be read", error=str(error))

    def _begin_to_fetch(self, url: str) -> None:
        self._fetching = asyncio.get_running_loop().create_task(self._fetch(url))

    async def _fetch(self, url: str) -> None:
        self._tried_at = time.monotonic()
        try:
            self._replace_keys(await fetch_keys(url))
        except KeySetError as error:
            log.warning("the key set cannot be fetched", error=str(error))
        finally:
            self._fetching = None

    def _replace_keys(self, keys: Keys) -> None:
        if any(kid not in keys or keys[kid].members != key.members for kid, key in self._keys.items()):
            # A key was withdrawn or replaced: verify again what it signed.
            self._verified.clear()
        before = self._thumbprints()
        self._keys, self._loaded_at = keys, time.monotonic()
        self._left = (self._left | before) - self._thumbprints()

    async def open(self) -> None:
        """Read the keys. Raises SettingsError for an unreadable file. A remote set may come later."""
        if isinstance(self._source, str):
            await self._fetch(self._source)
            return
        try:
            self._replace_keys(self._source.read())
        except KeySetError as error:
            raise SettingsError(f"ENGAGE_JWKS: {error}") from error

    async def close(self) -> None:
        """Wait for a running fetch."""
        if self._fetching is not None:
            await asyncio.shield(self._fetching)


async def open_verifier(live: LiveSettings, clock: Clock) -> TokenVerifier:
    """Raises SettingsError where ENGAGE_JWKS is neither a readable key file nor an https URL."""
    source = live.now.jwks
    if not source:
        raise SettingsError("ENGAGE_JWKS is not set: the path or https URL of the key set that signs tokens")
    is_url = re.match(r"[a-z][a-z0-9+.-]*://", source) is not None
    if is_url and not source.startswith("https://"):
        raise SettingsError(f"ENGAGE_JWKS: {source} is neither a path nor an https URL")
    verifier = TokenVerifier(live, clock, source if is_url else KeyFile(Path(source)))
    await verifier.open()
    return verifier


def unauthorized(reason: str) -> Refusal:
    """The refusal for bad credentials. It does not say what is wrong with them; the log does."""
    refusal = Refusal(Code.UNAUTHORIZED)
    refusal.reason = reason
    return refusal
