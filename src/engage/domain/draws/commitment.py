"""The commitment to a draw: one digest, the root, over its terms and its frozen list of entries.

The tree is that of RFC 9162 (section 2.1.1) with SHA-256: a leaf is hashed after a byte 0, a node after a
byte 1, so that neither can stand for the other. The first leaf is the draw's terms; then come the entries,
by number. Each leaf is a canonical JSON text.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated

from msgspec import Meta, Struct

from engage.domain.fairness.canonical import canonical, digest

ALGORITHM = "engage-draw-1"

# Digests are written in one way, so that no two texts mean the same.
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?!\n)$", description="a SHA-256, in hexadecimal")]


class ListedEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry as it is published: its number, and the digest that only its member can explain."""

    number: Annotated[int, Meta(ge=1, le=1 << 53)]
    hash: Digest


class Terms(Struct, frozen=True, kw_only=True):
    """All that decides about a draw beside its entries, fixed at the freeze.

    `entries` is how many are listed, `prizes` how many win at most, `chain` the hash of the beacon's chain,
    `round` the number of the round that decides.
    """

    algorithm: str
    program: str
    draw_id: str
    version: str
    closes_at: datetime
    round_after_s: int
    prizes: int
    points: int
    entries: int
    published_at: datetime
    beacon: str
    chain: str
    round: int


def entry_hash(*, program: str, draw_id: str, number: int, member_id: str, salt: str) -> str:
    """The digest of an entry: SHA-256 of the canonical JSON of these fields, with a salt of 32 random bytes.

    Without the salt nobody can find out the member, not even by trying all of them.
    """
    return digest(
        {"program": program, "draw_id": draw_id, "number": number, "member_id": member_id, "salt": salt}
    )


def root_of(terms: Terms, entries: Sequence[ListedEntry]) -> str:
    """The root over the terms and the entries, in hexadecimal."""
    return merkle_root([canonical(terms), *map(canonical, entries)]).hex()


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """The Merkle tree hash of RFC 9162 over at least one leaf."""
    level = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    assert level, "the terms are always a leaf"
    while len(level) > 1:
        # A node without a neighbour rises as it is: the same tree as splitting at a power of two.
        odd = level[-1:] if len(level) % 2 else []
        level = [
            sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ] + odd
    return level[0]
