"""Operators: people with an e-mail address, a role, and the programs that they work on."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from engage.domain.operators.emails import normal_email
from engage.domain.operators.roles import Role
from engage.schema.operators import operators
from engage.schema.rows import columns, from_row


class Operator(Struct, frozen=True, kw_only=True):
    """An operator. `programs` None: every program, those to come included. `password_hash` None: signs in
    with another provider only.
    """

    id: UUID
    email: str
    role: Role
    programs: tuple[str, ...] | None
    password_hash: str | None
    has_to_change: bool  # The password was set by somebody else.
    totp_secret: bytes | None  # Encrypted.
    totp_step: int | None
    failures: int
    failed_at: datetime | None
    created_at: datetime
    disabled_at: datetime | None

    def opens(self, program_id: str) -> bool:
        return self.programs is None or program_id in self.programs


async def add(
    conn: AsyncConnection,
    *,
    email: str,
    role: Role,
    programs: list[str] | None,
    password_hash: str | None,
    has_to_change: bool,
    now: datetime,
) -> bool:
    """Store an operator; return false if there is one with this address, who stays as they are."""
    row = {
        "id": uuid7(),
        "email": email,
        "role": role,
        "programs": programs,
        "password_hash": password_hash,
        "has_to_change": has_to_change,
        "created_at": now,
    }
    added = insert(operators).values(row).on_conflict_do_nothing().returning(operators.c.id)
    return (await conn.execute(added)).first() is not None


async def list_operators(conn: AsyncConnection) -> list[Operator]:
    """Read all operators by their addresses, disabled ones included."""
    rows = await conn.execute(select(*columns(operators, Operator)).order_by(operators.c.email))
    return [from_row(Operator, row) for row in rows]


async def lock(conn: AsyncConnection, email: str) -> Operator | None:
    """Read an operator by an address in any notation, and lock the row until the transaction ends; None when
    there is none.
    """
    address = normal_email(email)
    if address is None:
        return None
    query = select(*columns(operators, Operator)).where(operators.c.email == address).with_for_update()
    row = (await conn.execute(query)).first()
    return None if row is None else from_row(Operator, row)


async def change(conn: AsyncConnection, operator_id: UUID, **values: object) -> None:
    """Set columns of an operator."""
    await conn.execute(update(operators).where(operators.c.id == operator_id).values(values))
