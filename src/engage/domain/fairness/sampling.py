"""Numbers that follow from a seed, without modulo bias."""

from hashlib import sha256
from hmac import digest
from itertools import count
from typing import Any

from engage.domain.fairness.canonical import canonical

_BITS = 256


def sample(seed: bytes, subject: list[Any], below: int) -> int:
    """Return a number from 0 to `below` - 1, each as likely as any other.

    It is HMAC-SHA256 of the canonical text of `[*subject, attempt]` under the seed, as one number of 256
    bits, modulo `below`. An attempt at or above the largest multiple of `below` is discarded, and the next
    one taken; attempts count from 0.
    """
    assert 0 < below <= 1 << 64
    limit = (1 << _BITS) // below * below
    for attempt in count():
        number = int.from_bytes(digest(seed, canonical([*subject, attempt]), sha256), "big")
        if number < limit:
            return number % below
    raise AssertionError("unreachable")
