"""Frames of websockets, read and written at a fraction of the cost of a library."""

from msgspec import Struct

TEXT, CLOSE, PING = 1, 8, 9
_PONG, _TEXT = 0x8A, 0x81
_LARGEST = 125  # Of what a client sends here.


class Frame(Struct, frozen=True):
    kind: int
    payload: bytes


def read_frames(received: bytes) -> tuple[list[Frame], bytes]:
    """Parse unmasked frames. Return them, and the incomplete rest."""
    frames: list[Frame] = []
    at, size = 0, len(received)
    while size - at >= 2:
        length, start = received[at + 1], at + 2
        if length == 126:
            if size - at < 4:
                break
            length, start = int.from_bytes(received[at + 2 : at + 4]), at + 4
        if start + length > size:
            break
        frames.append(Frame(received[at] & 15, received[start : start + length]))
        at = start + length
    return frames, received[at:]


def pong(payload: bytes) -> bytes:
    return _masked(_PONG, payload)


def text_frame(message: bytes) -> bytes:
    return _masked(_TEXT, message)


def _masked(head: int, payload: bytes) -> bytes:
    """Write a frame of a client. The protocol allows a mask of zeros."""
    assert len(payload) <= _LARGEST
    return bytes((head, 0x80 | len(payload))) + bytes(4) + payload
