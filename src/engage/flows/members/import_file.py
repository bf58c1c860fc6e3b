"""The file of an import: CSV in UTF-8 with a header. It is checked completely before anything is written."""

import csv
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from engage.decoding.csv_text import START_BYTES, InvalidFile, check_start

COLUMNS: Final = (
    "member_id",
    "country",
    "birth_date",
    "kind",
    "person_ref",
    "phone",
    "card_numbers",
    "points",
    "expires_at",
    "earned_at",
)
REQUIRED: Final = ("member_id", "country")

# Columns that a file of rejected rows has in addition. An import ignores them.
LINE: Final = "line"
REASON: Final = "reason"
IGNORED: Final = (LINE, REASON)

ROWS_PER_FILE: Final = 5_000_000
LONGEST_FIELD: Final = 8_192  # Characters.


class Row(Struct, frozen=True):
    """A row of the file; `line` is the number of its first line, from 1."""

    line: int
    fields: list[str]


class Table(Struct, frozen=True):
    """A readable file. `header` is the text of its first row, `columns` our names for it."""

    path: Path
    header: list[str]
    columns: list[str]
    rows: int


def check_file(path: Path) -> Table:
    """Read the whole file once. Raises InvalidFile, OSError."""
    with path.open("rb") as file:
        check_start(file.read(START_BYTES))
    reader = _read(path)
    first = next(reader, None)
    if first is None:
        raise InvalidFile(f"empty; it begins with a line of column names: {', '.join(COLUMNS)}")
    columns = _columns(first.fields)
    rows = 0
    for _ in reader:
        rows += 1
        if rows > ROWS_PER_FILE:
            raise InvalidFile(f"more than {ROWS_PER_FILE:,} rows: split it")
    return Table(path, first.fields, columns, rows)


def rows_of(table: Table) -> Iterator[Row]:
    """Read the rows after the header, without empty lines."""
    reader = _read(table.path)
    next(reader)
    return reader


def read_cells(table: Table, row: Row) -> dict[str, str]:
    """Return a row's non-empty values by column. Raises ValueError for a wrong number of fields."""
    if len(row.fields) != len(table.columns):
        raise ValueError(f"{len(row.fields)} fields and not {len(table.columns)}")
    named = zip(table.columns, row.fields, strict=True)
    return {name: text for name, field in named if name not in IGNORED and (text := field.strip())}


def is_utf8(field: str) -> bool:
    """Return false if decoding left surrogates for invalid bytes."""
    return not any("\udc80" <= character <= "\udcff" for character in field)


class RejectedFile:
    """A file of rejected rows, unchanged, with line and reason. It is created with the first of them."""

    def __init__(self, table: Table) -> None:
        self.path = table.path.with_name(f"{table.path.name.removesuffix('.csv')}.rejected.csv")
        self._table = table
        self._columns = [n for n, name in enumerate(table.columns) if name not in IGNORED]
        # From an earlier run, which this one repeats.
        self.path.unlink(missing_ok=True)

    def add(self, rejected: Sequence[tuple[Row, str]]) -> None:
        if not rejected:
            return
        new = not self.path.exists()
        # Invalid UTF-8 is written as the bytes that were read.
        with self.path.open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow([*self._cut(self._table.header), LINE, REASON])
            writer.writerows([*self._cut(row.fields), row.line, reason] for row, reason in rejected)

    def _cut(self, fields: list[str]) -> list[str]:
        """Drop the ignored columns; leave rows of a wrong length as they are."""
        if len(fields) != len(self._table.columns):
            return fields
        return [fields[n] for n in self._columns]


def import_name(path: Path) -> str:
    """Return the default name of an import: `members` for members.csv and for members.rejected.csv."""
    name = path.name.removesuffix(".csv")
    while name.endswith(".rejected"):
        name = name.removesuffix(".rejected")
    return name


def _read(path: Path) -> Iterator[Row]:
    """Raises InvalidFile if the text cannot be split into fields."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        # Invalid UTF-8 makes a bad row, not a bad file.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            line = 1
            try:
                for fields in reader:
                    if fields:
                        yield Row(line, fields)
                    line = reader.line_num + 1
            except csv.Error as error:
                raise InvalidFile(f"line {line}: {error}; is a quotation mark missing?") from error
    finally:
        csv.field_size_limit(before)


def _columns(header: list[str]) -> list[str]:
    columns = [name.strip().lower() for name in header]
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(columns) == 1 and mark in columns[0]:
            raise InvalidFile(f"its columns are separated by {name}: save it with commas")
    problems = [_unknown(name) for name in columns if name not in (*COLUMNS, *IGNORED)]
    problems += [f"there is no column {name}" for name in REQUIRED if name not in columns]
    problems += [
        f"there are {columns.count(name)} columns {name}"
        for name in dict.fromkeys(columns)
        if columns.count(name) > 1
    ]
    if problems:
        raise InvalidFile(f"line 1: {'; '.join(problems)}. Columns are {', '.join(COLUMNS)}")
    return columns


def _unknown(name: str) -> str:
    shown = ascii(name[:40]) if not name.isprintable() or not name else name[:40]
    close = difflib.get_close_matches(name, COLUMNS, n=1)
    return f"{shown} is no column" + (f"; did you mean {close[0]}?" if close else "")
