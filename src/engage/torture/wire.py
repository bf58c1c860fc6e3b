"""PostgreSQL's protocol, as far as it says when a transaction that wrote something has been committed.

No input and no output: bytes in, answers out. https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

import re
import struct
from collections.abc import Iterator

_LENGTH = struct.Struct("!i")
_REQUESTS_WITHOUT_TYPE = {80877103, 80877104}  # SSLRequest, GSSENCRequest: one byte is the answer.
_WRITES = re.compile(rb"\b(INSERT|(?<!FOR )(?<!FOR NO KEY )UPDATE|DELETE|MERGE)\b", re.IGNORECASE)


class Wire:
    """Follows both directions of one connection."""

    def __init__(self) -> None:
        self._client = bytearray()
        self._server = bytearray()
        self._has_started = False
        self._single_bytes = 0  # Answers of one byte that the server still owes.
        self._writing: dict[bytes, bool] = {}  # By the name of a prepared statement.
        self._has_written = False  # In the transaction that is open, or in the statement under way.
        self._has_failed = False

    def client_sent(self, octets: bytes) -> None:
        self._client += octets
        for kind, body in self._client_messages():
            match kind:
                case b"P":
                    name, _, rest = body.partition(b"\0")
                    self._writing[name] = _WRITES.search(rest.partition(b"\0")[0]) is not None
                case b"B":
                    name = body.split(b"\0", 2)[1]
                    self._has_written |= self._writing.get(name, False)
                case b"Q":
                    self._has_written |= _WRITES.search(body) is not None

    def server_sent(self, octets: bytes) -> bool:
        """True if these bytes contain the answer to the commit of a transaction that wrote something."""
        self._server += octets
        committed = False
        while self._single_bytes and self._server:
            del self._server[:1]
            self._single_bytes -= 1
        for kind, body in _messages(self._server):
            match kind:
                case b"E":
                    self._has_failed = True
                case b"C" if body.startswith(b"ROLLBACK"):
                    self._has_written = False
                case b"Z" if body == b"I":
                    committed |= self._has_written and not self._has_failed
                    self._has_written = False
            if kind == b"Z":
                self._has_failed = False
        return committed

    def _client_messages(self) -> Iterator[tuple[bytes, bytes]]:
        while not self._has_started and len(self._client) >= 8:
            length, code = struct.unpack_from("!ii", self._client)
            if len(self._client) < length:
                return
            del self._client[:length]
            if code in _REQUESTS_WITHOUT_TYPE:
                self._single_bytes += 1
            else:
                self._has_started = True
        if self._has_started:
            yield from _messages(self._client)


def _messages(buffer: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """Take the complete messages out of a buffer: (kind, body)."""
    at = 0
    while len(buffer) - at >= 5:
        (length,) = _LENGTH.unpack_from(buffer, at + 1)
        end = at + 1 + length
        if len(buffer) < end:
            break
        yield bytes(buffer[at : at + 1]), bytes(buffer[at + 5 : end])
        at = end
    del buffer[:at]
