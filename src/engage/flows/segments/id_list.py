"""The ids of a list as they come: checked line by line, and kept in a temporary file until all are there."""

import re
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, Self

from msgspec import Struct

from engage.decoding.csv_text import Field, InvalidFile, OneColumn
from engage.domain.activity import MemberId
from engage.domain.document import decoding
from engage.domain.document.errors import shown

HEADER: Final = "member_id"

# Of a request, and of a file on the command line.
IDS_PER_REQUEST: Final = 1_000_000
IDS_PER_FILE: Final = 5_000_000

LINES_SHOWN: Final = 100

_IN_MEMORY_BYTES: Final = 1024 * 1024

# As MemberId, of bytes.
_MEMBER_ID: Final = re.compile(rb"[A-Za-z0-9._~:@+|-]{1,64}")


class BadLine(Struct, frozen=True):
    """A line without a member's id in it."""

    line: int
    message: str


class IdList:
    """A list of ids, which is added in chunks. `bad_lines` are the first LINES_SHOWN of `bad`."""

    def __init__(self, *, most: int) -> None:
        self.ids = 0
        self.bad = 0
        self.bad_lines: list[BadLine] = []
        self._most = most
        self._column = OneColumn(HEADER.encode())
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115  # Closed by __exit__.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, chunk: bytes) -> None:
        """Raises InvalidFile, also for more ids than there may be."""
        self._keep(self._column.feed(chunk))

    def close(self) -> None:
        """End the list. Raises InvalidFile."""
        self._keep(self._column.close())

    def rows(self) -> BinaryIO:
        """The lines and ids of a closed list, in the text format of COPY: no id has a character that it would
        escape.
        """
        self._file.seek(0)
        return self._file  # type: ignore[return-value]  # It has all that a BinaryIO has.

    def _keep(self, fields: list[Field]) -> None:
        is_id = _MEMBER_ID.fullmatch
        good = [b"%d\t%s\n" % field for field in fields if is_id(field[1])]
        self._file.write(b"".join(good))
        self.ids += len(good)
        if len(good) < len(fields):
            self._reject([field for field in fields if not is_id(field[1])])
        if self.ids + self.bad > self._most:
            raise InvalidFile(f"more than {self._most} ids")

    def _reject(self, fields: list[Field]) -> None:
        self.bad += len(fields)
        for line, field in fields[: LINES_SHOWN - len(self.bad_lines)]:
            text = field.decode(errors="backslashreplace")
            self.bad_lines.append(BadLine(line, f"expected {decoding.expected(MemberId)}, got {shown(text)}"))
