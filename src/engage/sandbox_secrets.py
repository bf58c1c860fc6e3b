"""What the sandbox knows and hands out: the file that `engage up` makes and the API reads."""

from pathlib import Path

import msgspec


class SandboxSecrets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Good for one installation on one machine, never for a real shop."""

    signing_key: dict[str, str]  # A private JWK (Ed25519, with kid) that signs members' tokens.
    shop_key: str
    admin_key: str
    pepper: str


def read(path: Path) -> SandboxSecrets:
    """Raises OSError where there is no such file, msgspec.MsgspecError where it holds something else."""
    return msgspec.json.decode(path.read_bytes(), type=SandboxSecrets)
