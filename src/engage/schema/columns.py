"""The metadata that every table belongs to, and the columns that tables are made of."""

from typing import Any

from sqlalchemy import TIMESTAMP, CheckConstraint, Column, MetaData, Text, text
from sqlalchemy.types import TypeEngine

# PostgreSQL's own names, as the migrations leave them to it.
metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(constraint_name)s",
    }
)

# Identifiers sort and compare by bytes: source keys are read by prefix, and cursors walk them.
IDENTIFIER = Text(collation="C")
INSTANT = TIMESTAMP(timezone=True)


AnyType = TypeEngine[Any] | type[TypeEngine[Any]]


def required(name: str, type_: AnyType, default: str | None = None) -> Column[Any]:
    """A column that is never null; `default` is an SQL expression."""
    return Column(name, type_, nullable=False, server_default=None if default is None else text(default))


def optional(name: str, type_: AnyType) -> Column[Any]:
    return Column(name, type_, nullable=True)


def member_key() -> tuple[Column[Any], Column[Any]]:
    """The columns that each row of a member begins with."""
    return required("program_id", IDENTIFIER), required("member_id", IDENTIFIER)


def check(name: str, condition: str) -> CheckConstraint:
    return CheckConstraint(condition, name=name)


def one_of(name: str, column: str, *values: str) -> CheckConstraint:
    """A constraint that allows these values of a text column."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return check(name, f"{column} IN ({allowed})")
