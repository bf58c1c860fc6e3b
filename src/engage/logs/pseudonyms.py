"""Pseudonyms of members: a member has the same one in all logs, and only the pepper leads to it.

A shop may use an e-mail address or a phone number as id.
"""

from hashlib import blake2b
from typing import Final

PREFIX: Final = "m_"
BYTES: Final = 10

# Of a process without a pepper: a hash that anybody can compute hides nobody.
UNKNOWN: Final = "m_…"


class Pseudonyms:
    """Makes pseudonyms with the pepper of an installation."""

    def __init__(self, pepper: str) -> None:
        self.take(pepper)

    def take(self, pepper: str) -> None:
        """Use another pepper from now on."""
        self._key = blake2b(pepper.encode(), person=b"engage logs").digest() if pepper else b""

    def of(self, program_id: str, member_id: str) -> str:
        if not self._key:
            return UNKNOWN
        name = f"{len(program_id)}:{program_id}{member_id}".encode()
        return PREFIX + blake2b(name, digest_size=BYTES, key=self._key).hexdigest()
