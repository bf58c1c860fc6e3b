"""The sandbox's secrets: a file that `engage up` writes and the API reads."""

from pathlib import Path

import msgspec


class SandboxSecrets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For one installation on one machine, never for a real shop."""

    signing_key: dict[str, str]  # A private JWK (Ed25519, with kid) that signs members' tokens.
    shop_key: str
    admin_key: str
    approver_key: str
    pepper: str


def read(path: Path) -> SandboxSecrets:
    """Raises OSError if there is no such file, msgspec.MsgspecError if it holds something else."""
    return msgspec.json.decode(path.read_bytes(), type=SandboxSecrets)
