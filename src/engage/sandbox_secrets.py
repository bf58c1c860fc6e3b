"""The sandbox's secrets: a file that `engage up` writes and the API reads."""

from pathlib import Path
from typing import Literal

import msgspec


class ConsoleAccount(msgspec.Struct, frozen=True):
    """An operator who may sign in to the sandbox's console."""

    email: str
    password: str
    role: Literal["admin", "approver"]


class SandboxSecrets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For one installation on one machine, never for a real shop."""

    signing_key: dict[str, str]  # A private JWK (Ed25519, with kid) that signs members' tokens.
    shop_key: str
    admin_key: str
    approver_key: str
    pepper: str
    admin_password: str
    approver_password: str

    @property
    def console(self) -> list[ConsoleAccount]:
        """The two operators of the sandbox's console: one writes, the other approves."""
        return [
            ConsoleAccount("admin@shop.example", self.admin_password, "admin"),
            ConsoleAccount("approver@shop.example", self.approver_password, "approver"),
        ]


def read(path: Path) -> SandboxSecrets:
    """Raises OSError if there is no such file, msgspec.MsgspecError if it holds something else."""
    return msgspec.json.decode(path.read_bytes(), type=SandboxSecrets)
