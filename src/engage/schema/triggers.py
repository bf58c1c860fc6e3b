"""Triggers of tables whose rows stay as they are, which the database itself sees to.

SQLAlchemy's metadata has no place for them, so they are statements that follow the table's creation.
"""

from typing import Final

from sqlalchemy import DDL, Table, event

_REFUSE: Final = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'restrict_violation',
        MESSAGE = TG_TABLE_NAME || ' is only added to: ' || TG_OP || ' is refused';
END
$$
"""


def after_creation(table: Table, *statements: str) -> None:
    """Run statements when this table has been created."""
    for statement in statements:
        ddl = DDL(statement)  # type: ignore[no-untyped-call]  # SQLAlchemy's own.
        event.listen(table, "after_create", ddl)


def append_only(table: Table) -> None:
    """Refuse UPDATE, DELETE and TRUNCATE of this table to everybody, also where a session is told to skip
    triggers. Its owner can take the trigger off: the audit log notices that by other means.
    """
    _refuse(table, "UPDATE OR DELETE OR TRUNCATE")


def never_emptied(table: Table) -> None:
    """Refuse TRUNCATE of this table in the same way. A trigger of its own decides about single rows."""
    _refuse(table, "TRUNCATE")


def _refuse(table: Table, statements: str) -> None:
    name = table.name
    after_creation(
        table,
        _REFUSE,
        f"CREATE TRIGGER {name}_stays BEFORE {statements} ON {name}"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
        f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER {name}_stays",
    )
