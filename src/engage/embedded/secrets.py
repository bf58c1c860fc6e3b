"""Create the secrets of a sandbox, once for an installation."""

import base64
import hashlib
import secrets
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from engage import sandbox_secrets
from engage.embedded.data_folder import DataFolder, write_private
from engage.embedded.errors import FolderUnusable
from engage.sandbox_secrets import SandboxSecrets

PRIVATE = frozenset({"d"})


def ensure(folder: DataFolder) -> SandboxSecrets:
    """Read the secrets of the folder; create those that are not there. Raises FolderUnusable."""
    try:
        if not folder.sandbox.exists():
            write_private(folder.sandbox, msgspec.json.encode(_new_secrets()))
        else:
            _complete(folder.sandbox)
        known = sandbox_secrets.read(folder.sandbox)
    except (OSError, msgspec.MsgspecError) as error:
        raise FolderUnusable(f"{folder.sandbox} cannot be read: {error}") from error
    if not folder.jwks.exists():
        public = {name: value for name, value in known.signing_key.items() if name not in PRIVATE}
        write_private(folder.jwks, msgspec.json.encode({"keys": [public]}), mode=0o644)
    return known


def new_key() -> str:
    """Return a key for the shop or an operator: ek_<id, 8 hex digits>_<secret, 43 characters>."""
    return f"ek_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


def _complete(path: Path) -> None:
    """Add the secrets that an older release did not have. Raises OSError, MsgspecError, FolderUnusable."""
    known = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    missing = {name: value for name, value in structs.asdict(_new_secrets()).items() if name not in known}
    if missing:
        write_private(path, msgspec.json.encode(known | missing))


def _new_secrets() -> SandboxSecrets:
    return SandboxSecrets(
        signing_key=_new_signing_key(),
        shop_key=new_key(),
        admin_key=new_key(),
        approver_key=new_key(),
        pepper=secrets.token_urlsafe(32),
        admin_password=secrets.token_urlsafe(12),
        approver_password=secrets.token_urlsafe(12),
    )


def _new_signing_key() -> dict[str, str]:
    key = Ed25519PrivateKey.generate()
    x = _base64url(key.public_key().public_bytes_raw())
    # The key id is the thumbprint (RFC 7638, RFC 8037).
    thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "kid": _base64url(thumbprint),
        "x": x,
        "d": _base64url(key.private_bytes_raw()),
    }


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
