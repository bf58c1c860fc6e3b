"""Commits are recognised wherever the network cuts the messages."""

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engage.torture.wire import Wire


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


SSL_REQUEST = struct.pack("!ii", 8, 80877103)
STARTUP = struct.pack("!ii", 13, 196608) + b"user\0"
WRITE = _message(b"P", b"s1\0INSERT INTO t VALUES (1)\0\0\0")
BIND, EXECUTE, SYNC = _message(b"B", b"\0s1\0\0\0\0\0\0\0"), _message(b"E", b"\0\0\0\0\0"), _message(b"S")
IDLE, OPEN = _message(b"Z", b"I"), _message(b"Z", b"T")


@given(st.lists(st.integers(min_value=1, max_value=200)))
def test_a_commit_is_seen_once_however_the_bytes_are_cut(cuts: list[int]) -> None:
    wire = Wire()
    wire.client_sent(SSL_REQUEST)
    assert not wire.server_sent(b"N")
    wire.client_sent(STARTUP)
    assert not wire.server_sent(IDLE)
    sent = _message(b"Q", b"BEGIN\0") + WRITE + BIND + EXECUTE + SYNC + _message(b"Q", b"COMMIT\0")
    for octets in _cut(sent, cuts):
        wire.client_sent(octets)
    received = OPEN + _message(b"C", b"INSERT 0 1\0") + OPEN + _message(b"C", b"COMMIT\0") + IDLE
    seen = [wire.server_sent(octets) for octets in _cut(received, cuts)]
    assert seen.count(True) == 1
    assert seen[-1]


def test_reading_is_no_commit() -> None:
    wire = Wire()
    wire.client_sent(STARTUP + _message(b"Q", b"SELECT updated FROM t FOR NO KEY UPDATE\0"))
    assert not wire.server_sent(_message(b"C", b"SELECT 1\0") + IDLE)


def _cut(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
    return [octets[begin:end] for begin, end in pairwise(places)]
