"""CSV files: those that are none, and the fields of a file of one column, as its bytes come."""

from typing import Final

# By so much of its beginning it is known whether a file is text.
START_BYTES: Final = 4_096

# A longer line is cut: it has no field that anything could be made of.
LONGEST_LINE: Final = 4_096

_BOM: Final = b"\xef\xbb\xbf"
_SPREADSHEETS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")

Field = tuple[int, bytes]  # The number of its line, from 1, and its bytes.


class InvalidFile(ValueError):
    """A file cannot be read as a whole; the message says where and why."""


def check_start(start: bytes) -> None:
    """Raises InvalidFile if a file that begins with these bytes is a spreadsheet, or not text in UTF-8."""
    if start.startswith(_SPREADSHEETS):
        raise InvalidFile("a spreadsheet: save it as CSV in UTF-8")
    if b"\0" in start:
        raise InvalidFile("not text in UTF-8: save it as CSV in UTF-8")


class OneColumn:
    """A file of one column, with a header or without one. Blank lines have no field.

    Lines end with LF, CRLF or CR. A field has no line end in it, so what is in quotation marks is a line too.
    """

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._rest = b""  # Of the line that has not ended yet.
        self._lines = 0  # That have ended.
        self._is_open = False  # Its start has been checked.
        self._has_begun = False  # There was a field, or the header.

    def feed(self, chunk: bytes) -> list[Field]:
        """Return the fields of the lines that end in this chunk. Raises InvalidFile."""
        self._rest += chunk
        if not self._is_open:
            if len(self._rest) < START_BYTES:
                return []
            self._open()
        # A CR at the end may be half of a CRLF.
        end = len(self._rest) - self._rest.endswith(b"\r")
        cut = max(self._rest.rfind(b"\n"), self._rest.rfind(b"\r", 0, end)) + 1
        ended, self._rest = self._rest[:cut], self._rest[cut:][:LONGEST_LINE]
        return self._fields(ended)

    def close(self) -> list[Field]:
        """Return the fields that are left. Raises InvalidFile, also for a file of no bytes."""
        if not self._is_open:
            self._open()
        ended, self._rest = self._rest, b""
        return self._fields(ended)

    def _open(self) -> None:
        if not self._rest:
            raise InvalidFile(f"empty; a file without rows has a line {self._header.decode()}")
        check_start(self._rest[:START_BYTES])
        self._rest = self._rest.removeprefix(_BOM)
        self._is_open = True

    def _fields(self, ended: bytes) -> list[Field]:
        lines = ended.splitlines()
        numbered = enumerate(map(_unquoted, lines), start=self._lines + 1)
        fields = [(number, field) for number, field in numbered if field]
        self._lines += len(lines)
        if fields and not self._has_begun:
            self._has_begun = True
            if fields[0][1].lower() == self._header:
                del fields[0]
        return fields


def _unquoted(line: bytes) -> bytes:
    field = line.strip()
    if field.startswith(b'"') and field.endswith(b'"') and len(field) > 1:
        return field[1:-1].strip()
    return field
