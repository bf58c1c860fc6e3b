"""The one JSON text of a value, and its digest.

Members of objects stand in the order of their names, without spaces, in UTF-8. So whoever has the value can
compute the digest again, in any language.
"""

from hashlib import sha256
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="sorted").encode


def canonical(value: Any) -> bytes:
    """Return the canonical JSON text of what msgspec can encode. Floats do not occur in it."""
    return _encode(value)


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical text, in hexadecimal."""
    return sha256(_encode(value)).hexdigest()
