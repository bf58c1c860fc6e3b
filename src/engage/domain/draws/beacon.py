"""Randomness beacons in the way of drand: a round is a signature (BLS12-381) of its number, which nobody
knows before its time, and which everybody can verify afterwards with one public key.

Scheme bls-unchained-g1-rfc9380: signatures are points of G1, keys are points of G2, and the message is the
SHA-256 of the round's number (RFC 9380 hashes it to G1). A round has exactly one valid signature.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from msgspec import Struct
from py_arkworks_bls12381 import GT, G1Point, G2Point

SCHEME: Final = "bls-unchained-g1-rfc9380"
DOMAIN: Final = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
SIGNATURE_BYTES: Final = 48
KEY_BYTES: Final = 96

SANDBOX: Final = "sandbox"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


class Chain(Struct, frozen=True, kw_only=True):
    """A beacon's public parameters, by which its rounds are found and verified.

    `genesis` is the time of round 1, in seconds since 1970. `group_hash` is drand's digest of its members.
    """

    beacon: str
    public_key: str
    period_s: int
    genesis: int
    group_hash: str = ""
    beacon_id: str

    @property
    def hash(self) -> str:
        """drand's own digest of the parameters, which names the chain."""
        parts = [
            self.period_s.to_bytes(4, "big"),
            self.genesis.to_bytes(8, "big"),
            bytes.fromhex(self.public_key),
            bytes.fromhex(self.group_hash),
            self.beacon_id.encode(),
        ]
        return sha256(b"".join(parts)).hexdigest()

    def time_of(self, number: int) -> datetime:
        """The instant at which a round is emitted."""
        return _EPOCH + (self.genesis + (number - 1) * self.period_s) * _SECOND

    def first_after(self, at: datetime) -> int:
        """The first round that is emitted later than an instant."""
        elapsed = at - self.time_of(1)
        return max(elapsed // (self.period_s * _SECOND) + 2, 1)


# https://api.drand.sh/v2/beacons/quicknet/info. Pinned: a relay that answers otherwise is not believed.
QUICKNET: Final = Chain(
    beacon="drand-quicknet",
    public_key=(
        "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510"
        "d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
    ),
    period_s=3,
    genesis=1692803367,
    group_hash="f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e",
    beacon_id="quicknet",
)


def sandbox_chain(public_key: str) -> Chain:
    """The chain of a sandbox: the same rounds at the same times as quicknet's, under a key of its own."""
    return Chain(
        beacon=SANDBOX,
        public_key=public_key,
        period_s=QUICKNET.period_s,
        genesis=QUICKNET.genesis,
        beacon_id=SANDBOX,
    )


def message_of(number: int) -> G1Point:
    """The message that a round signs, as a point."""
    return G1Point.hash_to_curve(sha256(number.to_bytes(8, "big")).digest(), DOMAIN)


def is_signed(chain: Chain, number: int, signature: str) -> bool:
    """Verify a round's signature, in hexadecimal, with the chain's public key.

    Only the one canonical text of the one valid signature passes. A key or a signature that is not a point of
    its group, or is the point at infinity, fails.
    """
    try:
        key, signed = bytes.fromhex(chain.public_key), bytes.fromhex(signature)
        if len(key) != KEY_BYTES or len(signed) != SIGNATURE_BYTES or signed.hex() != signature:
            return False
        public, point = G2Point.from_compressed_bytes(key), G1Point.from_compressed_bytes(signed)
        message = message_of(number)
    except (ValueError, OverflowError):
        return False
    if public == G2Point.identity() or point.to_compressed_bytes() != signed:
        return False
    return GT.pairing_check([point, -message], [G2Point(), public])
