"""Rows and structs: the columns that a struct is read from, and arrays for statements that take many rows."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import Column, ColumnElement, Table, Text, and_
from sqlalchemy.dialects import postgresql

from engage.domain.keys import MemberKey

Row = TypeVar("Row", bound=Struct)

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own.


def columns(table: Table, struct: type[Struct]) -> list[Column[Any]]:
    """The columns that a struct is read from, which have its fields' names: for `select`."""
    return [table.c[name] for name in struct.__struct_fields__]


def select_list(struct: type[Struct], alias: str) -> str:
    """The same for a statement that is text."""
    return ", ".join(f"{alias}.{name}" for name in struct.__struct_fields__)


def from_row(struct: type[Row], row: Sequence[Any]) -> Row:
    """A struct of a row that was selected by `columns` or `select_list`."""
    return struct(**dict(zip(struct.__struct_fields__, row, strict=True)))


def of_member(table: Table, key: MemberKey) -> ColumnElement[bool]:
    return and_(table.c.program_id == key[0], table.c.member_id == key[1])


class Batch:
    """Rows that a statement takes at once: a parameter for each column, which is an array.

    In the statement it stands as `unnest(…) AS name (columns)`, with the types of the table's columns.
    `others` are columns that the table does not have, with their types.
    """

    def __init__(self, name: str, table: Table, *columns: str, **others: str) -> None:
        types = {column: _type(table.c[column]) for column in columns} | others
        self._names = list(types)
        self._parameters = [f"{name}_{column}" for column in types]
        arrays = [f"CAST(:{name}_{column} AS {type_}[])" for column, type_ in types.items()]
        self.columns = ", ".join(types)
        self._sql = f"unnest({', '.join(arrays)}) AS {name} ({self.columns})"

    def __str__(self) -> str:
        return self._sql

    def of(self, rows: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
        """The parameters for these rows, each with a value for each column."""
        values = list(zip(*rows, strict=True)) or [()] * len(self._parameters)
        return {name: list(column) for name, column in zip(self._parameters, values, strict=True)}

    def of_structs(self, structs: Sequence[Struct]) -> dict[str, list[Any]]:
        """The parameters for structs that have the columns' names as fields."""
        return {
            parameter: list(map(attrgetter(name), structs))
            for parameter, name in zip(self._parameters, self._names, strict=True)
        }


def _type(column: Column[Any]) -> str:
    # A collation belongs to the column, not to values that are compared with it.
    return "TEXT" if isinstance(column.type, Text) else column.type.compile(_DIALECT)
