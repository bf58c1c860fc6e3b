"""Policies for a member's rows when the member joins, is merged into another or is erased.

Each table with a `member_id` or an `account` declares it: `info=member_rows(merge=Move(), erase=Delete())`.
The flows walk the registry (`engage.store.members.closing`), so a new table needs no line anywhere else. The
rows are written while the members, their orders, credits and balances are locked, in the order in which the
tables are declared.

SQL of a policy can use these parameters:

- of a merger: :program_id, :member_id, :into (the survivor's id), :now, :wall;
- of an erasure: :program_id, :member_ids, :salt (random, thrown away afterwards), :now, :wall.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from sqlalchemy import MetaData, Table

from engage.schema.columns import member_key, metadata
from engage.schema.rows import Batch

JOINING = Batch("k", Table("_", MetaData(), *member_key()), "program_id", "member_id")
OF_MEMBERS = "program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))"


class Keep(Struct, frozen=True):
    """The rows stay as they are, for a reason."""

    reason: str


class Move(Struct, frozen=True):
    """The rows become the survivor's. Their keys must be unique without the member."""


class Statement(Struct, frozen=True):
    """A statement of the table's own."""

    sql: str


class Delete(Struct, frozen=True):
    """The rows of the erased members go."""

    where: str = OF_MEMBERS


class Rewrite(Struct, frozen=True):
    """Columns get new values, each an SQL expression; of all the members' rows, or of those `where` this
    holds.
    """

    columns: Mapping[str, str]
    where: str = "true"


class MemberRows(Struct, frozen=True):
    """The policies of a table. With `join` each new member gets a row of nothing but defaults."""

    merge: Keep | Move | Statement
    erase: Keep | Delete | Rewrite | Statement
    join: bool = False


def member_rows(
    *, merge: Keep | Move | Statement, erase: Keep | Delete | Rewrite | Statement, join: bool = False
) -> dict[str, Any]:
    """The `info` of a table that holds rows of members."""
    return {"member_rows": MemberRows(merge, erase, join)}


def digest(expression: str) -> str:
    """SQL for a digest of a text with a salt that is thrown away: it reveals nothing and stays unique."""
    return f"left(encode(sha256(convert_to(CAST(:salt AS text) || {expression}, 'UTF8')), 'hex'), 32)"


def tables_of_members() -> Iterator[tuple[Table, MemberRows]]:
    """Every table that declares policies, in the order of declaration."""
    for table in metadata.tables.values():
        if "member_rows" in table.info:
            yield table, table.info["member_rows"]


def undeclared_tables(tables: MetaData) -> list[str]:
    """Names of tables with a `member_id` or an `account` that declare nothing."""
    return [
        table.name
        for table in tables.tables.values()
        if ("member_id" in table.c or "account" in table.c) and "member_rows" not in table.info
    ]


def of_members(table: Table) -> str:
    """The condition for rows of the erased members."""
    if "member_id" in table.c:
        return OF_MEMBERS
    return f"account IN (SELECT account FROM balances WHERE {OF_MEMBERS})"  # noqa: S608  # Constants.


def join_sql(table: Table) -> str:
    """A statement that adds the rows of new members, whose keys are in `JOINING`."""
    return f"INSERT INTO {table.name} ({JOINING.columns}) SELECT {JOINING.columns} FROM {JOINING}"  # noqa: S608


def merge_sql(table: Table, policy: Keep | Move | Statement) -> str | None:
    match policy:
        case Move():
            return (
                f"UPDATE {table.name} SET member_id = :into"  # noqa: S608  # Names of the schema.
                " WHERE program_id = :program_id AND member_id = :member_id"
            )
        case Statement(sql=sql):
            return sql
        case Keep():
            return None


def erase_sql(table: Table, policy: Keep | Delete | Rewrite | Statement) -> str | None:
    match policy:
        case Statement(sql=sql):
            return sql
        case Delete(where=where):
            return f"DELETE FROM {table.name} WHERE {where}"  # noqa: S608  # Names of the schema.
        case Rewrite(columns=columns, where=where):
            assignments = ", ".join(f"{name} = {expression}" for name, expression in columns.items())
            return f"UPDATE {table.name} SET {assignments} WHERE {of_members(table)} AND ({where})"  # noqa: S608
        case Keep():
            return None
