"""Members' tokens: JWTs that the shop's identity provider signs and the API and the feed verify.

Asymmetric signatures only, from a fixed list; the key is found by `kid` in a key set (JWKS), and the key
says which algorithm it is for, never the token. Times are the machine's: the sandbox's clock can neither
end nor prolong a token.
"""

import asyncio
import re
import time
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache, partial
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, Final

import jwt
import msgspec
import structlog
from jwt.utils import base64url_decode
from msgspec import Meta, Struct

from engage.clock import Clock
from engage.domain.activity import MemberId
from engage.domain.document.fields import ProgramId
from engage.domain.refusals import Refusal, Unavailable
from engage.sandbox_secrets import SandboxSecrets
from engage.settings import Settings, SettingsError

SANDBOX_LIFE = timedelta(hours=24)
TOKEN_BYTES: Final = 4_096
TOKENS_KEPT: Final = 100_000
KEY_SET_BYTES: Final = 256 * 1024
FETCH_TIMEOUT_S: Final = 5.0

# A key nobody knows may be new, so it is looked for, but whoever makes up key ids gets one look at most in
# this time out of us. A set this old is looked at again although nothing is missing: keys are also withdrawn.
REFETCH_AFTER_S: Final = 30.0
STALE_AFTER_S: Final = 600.0

# The provider's clock may be ahead of ours by so much.
SKEW_S: Final = 30

_ALGORITHMS = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}

log = structlog.get_logger()


class Identity(Struct, frozen=True):
    """Whose token it is."""

    program_id: str
    member_id: str


class _Header(Struct, frozen=True):
    """The rest of a header is checked with the signature."""

    kid: str


class _Claims(Struct, frozen=True):
    sub: MemberId
    program: ProgramId
    exp: Annotated[int, Meta(ge=0, le=2**40)]
    iat: Annotated[int, Meta(ge=0, le=2**40)]
    nbf: Annotated[int, Meta(ge=0, le=2**40)] = 0


class _Jwk(Struct, frozen=True):
    """The members of a key that decide whether it is one of ours. Others of a set may be anything."""

    kty: str = ""
    crv: str = ""
    kid: str = ""
    use: str = "sig"
    alg: str | None = None


class _KeySet(Struct, frozen=True):
    keys: list[dict[str, Any]]


class Key(Struct, frozen=True, eq=False):
    """A public key, with the members of the JWK that it was made from."""

    members: dict[str, Any]
    jwk: jwt.PyJWK


Keys = dict[str, Key]  # By kid.


class TokenVerifier:
    """Verifies tokens. A token that was found good costs a look into a dict until it expires.

    `load` reads the key set, and raises OSError or ValueError. When `remote`, it may block: it has a thread.
    """

    def __init__(self, settings: Settings, clock: Clock, load: Callable[[], Keys], *, remote: bool) -> None:
        self._settings = settings
        self._clock = clock
        self._load = load
        self._remote = remote
        self._life_s = (
            settings.jwt_max_age_s if settings.sandbox is None else int(SANDBOX_LIFE.total_seconds())
        )
        self._keys: Keys = {}
        self._loaded_at = float("-inf")  # By the monotonic clock, in seconds, as is the next.
        self._tried_at = float("-inf")
        self._loading: asyncio.Task[None] | None = None
        self._good: dict[str, tuple[Identity, int]] = {}

    def verify(self, token: str) -> Identity:
        """Raises Refusal unauthorized, or Unavailable when no key has been read yet."""
        found = self._good.get(token)
        if found is not None:
            identity, expires_at = found
            if self._clock.wall().timestamp() < expires_at:
                return identity
            del self._good[token]
            raise unauthorized()
        claims = self._verified(token)
        identity = Identity(claims.program, claims.sub)
        if len(self._good) >= TOKENS_KEPT:
            # The oldest is the first to expire, as a rule.
            del self._good[next(iter(self._good))]
        self._good[token] = identity, claims.exp
        return identity

    def _verified(self, token: str) -> _Claims:
        if time.monotonic() - self._loaded_at > STALE_AFTER_S:
            self._look_for_keys()
        if len(token) > TOKEN_BYTES:
            raise unauthorized()
        try:
            key = self._key(_kid(token.partition(".")[0]))
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                # Times that a skewed clock may put into our future are checked below.
                options={
                    "require": ["iss", "aud", "exp", "iat", "sub"],
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            known = msgspec.convert(claims, _Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError):
            raise unauthorized() from None
        latest = self._clock.wall().timestamp() + SKEW_S
        if known.exp - known.iat > self._life_s or max(known.iat, known.nbf) > latest:
            raise unauthorized()
        return known

    def _key(self, kid: str) -> jwt.PyJWK:
        """Raises Refusal unauthorized where no key has this id."""
        if kid not in self._keys:
            self._look_for_keys()
        if not self._keys:
            raise Unavailable("jwks")
        if kid not in self._keys:
            raise unauthorized()
        return self._keys[kid].jwk

    def _look_for_keys(self) -> None:
        """A file is read at once. A remote set is fetched in the background: who waits for it comes again."""
        if self._loading is not None or time.monotonic() - self._tried_at < REFETCH_AFTER_S:
            return
        if self._remote:
            self._loading = asyncio.get_running_loop().create_task(self._fetch())
            return
        try:
            self._take(self._load())
        except (OSError, ValueError) as error:
            self._tried_at = time.monotonic()
            log.warning("the key set cannot be read", error=str(error))

    async def _fetch(self) -> None:
        self._tried_at = time.monotonic()
        try:
            self._take(await asyncio.to_thread(self._load))
        except (OSError, ValueError) as error:
            log.warning("the key set cannot be fetched", error=str(error))
        finally:
            self._loading = None

    def _take(self, keys: Keys) -> None:
        if any(kid not in keys or keys[kid].members != key.members for kid, key in self._keys.items()):
            # A key was withdrawn or replaced; what it signed has to be looked at again.
            self._good.clear()
        self._keys, self._loaded_at = keys, time.monotonic()

    async def open(self) -> None:
        """Raises SettingsError when a file of keys cannot be read. A remote set may come later."""
        if self._remote:
            await self._fetch()
            return
        try:
            self._take(self._load())
        except (OSError, ValueError) as error:
            raise SettingsError(f"ENGAGE_JWKS: {error}") from error

    async def close(self) -> None:
        """Waits for a fetch that is under way."""
        if self._loading is not None:
            await self._loading


async def open_verifier(settings: Settings, clock: Clock) -> TokenVerifier:
    """Raises SettingsError where settings.jwks names no file of keys and no https URL."""
    where = settings.jwks
    if not where:
        raise SettingsError("ENGAGE_JWKS is not set: the path or https URL of the key set that signs tokens")
    remote = re.match(r"[a-z][a-z0-9+.-]*://", where) is not None
    if remote and not where.startswith("https://"):
        raise SettingsError(f"ENGAGE_JWKS: {where} is neither a path nor an https URL")
    load = partial(_fetch_url, where) if remote else _File(Path(where))
    verifier = TokenVerifier(settings, clock, load, remote=remote)
    await verifier.open()
    return verifier


def unauthorized() -> Refusal:
    """For everyone without good credentials; what is wrong with them is not told."""
    return Refusal("unauthorized", status=401)


def sign(
    secrets: SandboxSecrets,
    program_id: str,
    member_id: str,
    lifetime: timedelta,
    *,
    issuer: str = "engage",
    audience: str = "engage",
) -> str:
    """A token as an identity provider would sign it, with the sandbox's own key."""
    issued_at = int(Clock().wall().timestamp())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": member_id,
        "program": program_id,
        "iat": issued_at,
        "exp": issued_at + int(lifetime.total_seconds()),
    }
    key = _signing_key(tuple(sorted(secrets.signing_key.items())))
    return jwt.encode(claims, key, key.algorithm_name, headers={"kid": secrets.signing_key["kid"]})


@lru_cache(256)
def _kid(header: str) -> str:
    """The `kid` of a token's first segment, which the tokens of a key share. Raises Refusal unauthorized."""
    try:
        return msgspec.json.decode(base64url_decode(header), type=_Header).kid
    except (msgspec.MsgspecError, ValueError):
        raise unauthorized() from None


@lru_cache(4)
def _signing_key(members: tuple[tuple[str, str], ...]) -> jwt.PyJWK:
    return jwt.PyJWK(dict(members))


class _File:
    """Reads a file again only when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: Keys = {}

    def __call__(self) -> Keys:
        status = self._path.stat()
        stamp = status.st_mtime_ns, status.st_size, status.st_ino
        if stamp != self._stamp:
            with self._path.open("rb") as file:
                self._keys = parse_keys(file.read(KEY_SET_BYTES + 1))
            self._stamp = stamp
        return self._keys


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could lead anywhere, out of https for one."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def _fetch_url(url: str) -> Keys:
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(url, timeout=FETCH_TIMEOUT_S) as answer:
            return parse_keys(answer.read(KEY_SET_BYTES + 1))
    except HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error


def parse_keys(document: bytes) -> Keys:
    """The keys of a JWKS that we verify with; keys of other kinds are passed over. Raises ValueError."""
    if len(document) > KEY_SET_BYTES:
        raise ValueError(f"the key set is longer than {KEY_SET_BYTES} bytes")
    try:
        listed = msgspec.json.decode(document, type=_KeySet).keys
    except msgspec.MsgspecError as error:
        raise ValueError(f"this is no key set: {error}") from error
    keys = {key.members["kid"]: key for members in listed if (key := _usable(members)) is not None}
    if not keys:
        raise ValueError("no key of the set is a signing key with a kid for EdDSA (Ed25519) or ES256 (P-256)")
    return keys


def _usable(members: dict[str, Any]) -> Key | None:
    public = {name: value for name, value in members.items() if name != "d"}
    try:
        jwk = msgspec.convert(public, _Jwk)
        algorithm = _ALGORITHMS.get((jwk.kty, jwk.crv))
        if algorithm is None or not jwk.kid or jwk.use != "sig" or jwk.alg not in (None, algorithm):
            return None
        return Key(public, jwt.PyJWK(public, algorithm))
    except (msgspec.ValidationError, jwt.PyJWTError):
        return None
