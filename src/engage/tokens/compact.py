"""JSON Web Signatures in their compact form (RFC 7515): the segments of a token, and its header.

The library that signs them decodes a header and claims with Python's own decoder, without limits, and looks
at each character of a segment. Here a segment is decoded once, within limits.
"""

import base64
import binascii
from functools import lru_cache
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Struct

from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed

TOKEN_BYTES: Final = 4_096

T = TypeVar("T")


class Header(Struct, frozen=True):
    """The header of a token. `crit` names extensions that a verifier has to know: we know none."""

    kid: str
    alg: str
    b64: bool = True
    crit: object = UNSET


class Token(Struct, frozen=True):
    """A token whose signature has not been verified: what was signed, and its decoded segments."""

    header: Header
    claims: bytes
    signed: bytes
    signature: bytes


def parse(token: str) -> Token:
    """Split a token of at most TOKEN_BYTES and decode its segments. Raises Malformed."""
    try:
        signed, _, signature = token.encode("ascii").rpartition(b".")
    except UnicodeEncodeError:
        raise Malformed("not ASCII") from None
    header, _, claims = signed.partition(b".")
    return Token(_header(header), _octets(claims), signed, _octets(signature))


def decoded(octets: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Raises Malformed."""
    return decode_json(octets, decoder, limit_bytes=TOKEN_BYTES)


_decoder = msgspec.json.Decoder(Header)


@lru_cache(256)
def _header(segment: bytes) -> Header:
    """All tokens of a key have the same. Raises Malformed."""
    header = decoded(_octets(segment), _decoder)
    if header.crit is not UNSET or not header.b64:
        raise Malformed("an extension that is not known")
    return header


def _octets(segment: bytes) -> bytes:
    """Decode base64url. Octets have one spelling, with or without the padding that some providers add.

    Raises Malformed.
    """
    bare = segment.rstrip(b"=")
    padding = b"=" * (-len(bare) % 4)
    try:
        octets = base64.urlsafe_b64decode(bare + padding)
    except binascii.Error as error:
        raise Malformed(str(error)) from None
    # Python's decoder leaves out what is not of the alphabet, and ignores bits at the end.
    if segment not in (bare, bare + padding) or base64.urlsafe_b64encode(octets) != bare + padding:
        raise Malformed("not base64url")
    return octets
