"""Key sets (JWKS): the public keys that verify tokens, from a file or from an https URL.

Only Ed25519 and P-256 signing keys are used. A key says which algorithm it is for; a token never does.
"""

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from engage.decoding.bounded import UNCOMPRESSED, read_at_most
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed

KEY_SET_BYTES: Final = 256 * 1024
FETCH_TIMEOUT_S: Final = 5.0

_ALGORITHMS = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}


class KeySetError(Exception):
    """A key set that cannot be read now, or has no usable key."""


Verify = Callable[[bytes, bytes], bool]  # Returns whether the second is a signature of the first.


class Key(Struct, frozen=True, eq=False):
    """A public key for an algorithm (JWA), the JWK members that it was made from, and its thumbprint
    (RFC 7638).
    """

    members: dict[str, Any]
    algorithm: str
    verify: Verify
    thumbprint: str


Keys = dict[str, Key]  # By kid.


class _Jwk(Struct, frozen=True):
    """The members that decide whether a key is usable. Other keys of a set may be anything."""

    kty: str = ""
    crv: str = ""
    kid: str = ""
    use: str = "sig"
    alg: str | None = None


class _KeySet(Struct, frozen=True):
    keys: list[dict[str, Any]]


_key_set = msgspec.json.Decoder(_KeySet)


class KeyFile:
    """A key set in a file, read again only when the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: Keys = {}

    def read(self) -> Keys:
        """Return the keys. Raises KeySetError."""
        try:
            status = self._path.stat()
            stamp = status.st_mtime_ns, status.st_size, status.st_ino
            if stamp != self._stamp:
                with self._path.open("rb") as file:
                    self._keys = parse_keys(file.read(KEY_SET_BYTES + 1))
                self._stamp = stamp
        except OSError as error:
            raise KeySetError(str(error)) from error
        return self._keys


async def fetch_keys(url: str) -> Keys:
    """Fetch a key set over https, bounded in time and size. A redirect is an error: it could leave https.

    Raises KeySetError.
    """
    try:
        async with (
            asyncio.timeout(FETCH_TIMEOUT_S),
            httpx.AsyncClient(verify=ssl.create_default_context(), timeout=FETCH_TIMEOUT_S) as client,
            client.stream("GET", url, headers=UNCOMPRESSED) as response,
        ):
            response.raise_for_status()
            body = await read_at_most(response.aiter_raw(), KEY_SET_BYTES)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
        raise KeySetError(f"{url}: {error!r}") from error
    return parse_keys(body)


def parse_keys(document: bytes) -> Keys:
    """Return the usable keys of a JWKS; skip keys of other kinds. Raises KeySetError."""
    try:
        listed = decode_json(document, _key_set, limit_bytes=KEY_SET_BYTES).keys
    except Malformed as error:
        raise KeySetError(f"not a key set: {error}") from error
    keys = {key.members["kid"]: key for members in listed if (key := _usable_key(members)) is not None}
    if not keys:
        raise KeySetError("the set has no signing key with a kid for EdDSA (Ed25519) or ES256 (P-256)")
    return keys


def _usable_key(members: dict[str, Any]) -> Key | None:
    public = {name: value for name, value in members.items() if name != "d"}
    try:
        jwk = msgspec.convert(public, _Jwk)
        algorithm = _ALGORITHMS.get((jwk.kty, jwk.crv))
        if algorithm is None or not jwk.kid or jwk.use != "sig" or jwk.alg not in (None, algorithm):
            return None
        return Key(public, algorithm, _verify_with(jwt.PyJWK(public, algorithm)), _thumbprint(public))
    except (msgspec.ValidationError, jwt.PyJWTError):
        return None


def _verify_with(jwk: jwt.PyJWK) -> Verify:
    """An Ed25519 signature takes libsodium about half the time that it takes OpenSSL."""
    if isinstance(jwk.key, Ed25519PublicKey):
        return partial(_is_ed25519, VerifyKey(jwk.key.public_bytes_raw()))
    algorithm, key = jwk.Algorithm, jwk.key
    return lambda signed, signature: algorithm.verify(signed, key, signature)


def _is_ed25519(key: VerifyKey, signed: bytes, signature: bytes) -> bool:
    try:
        key.verify(signed, signature)
    except CryptoError:  # For a signature of another length, too.
        return False
    return True


def _thumbprint(members: dict[str, Any]) -> str:
    """Name a key by what it is: the same `kid` may be given to another key."""
    required = {name: members[name] for name in ("crv", "kty", "x", "y") if name in members}
    return sha256(msgspec.json.encode(required, order="sorted")).hexdigest()
