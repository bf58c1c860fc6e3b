"""The sandbox's beacon: rounds at quicknet's times, signed with a key that follows from the data folder.

It follows the sandbox's clock, stores nothing, and gives the same rounds again after a restart. Whoever has
the folder can compute its rounds before their time, so it proves nothing, and certificates say so.
"""

from datetime import datetime
from hashlib import sha512
from hmac import digest
from typing import Final

from py_arkworks_bls12381 import G2Point, Scalar

from engage.domain.draws.beacon import Chain, message_of, sandbox_chain

_PURPOSE: Final = b"engage: the key of the sandbox's beacon"

# The order of the curve's groups.
_ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001


class SandboxBeacon:
    def __init__(self, secret: str) -> None:
        """`secret` is one of the data folder. Its digest is longer than the order, so the key has no bias."""
        number = int.from_bytes(digest(secret.encode(), _PURPOSE, sha512), "big")
        self._key = Scalar(number % (_ORDER - 1) + 1)
        self._chain = sandbox_chain((G2Point() * self._key).to_compressed_bytes().hex())

    @property
    def chain(self) -> Chain:
        return self._chain

    async def signature(self, number: int, *, at: datetime) -> str | None:
        if number < 1 or at < self._chain.time_of(number):
            return None
        return (message_of(number) * self._key).to_compressed_bytes().hex()

    async def close(self) -> None:
        return
