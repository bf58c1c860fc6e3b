"""Accounts of operators: create, list, reset, change, disable. Each deed is in the audit log."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.operators.roles import Role
from engage.flows.operators.password_hashes import hash_password
from engage.runtime.database import transaction
from engage.runtime.database_clock import installation_time
from engage.store import audit_log
from engage.store.audit_log import AuditEntry
from engage.store.operators import operators, sessions
from engage.store.operators.operators import Operator

# As much as a person needs to be reached: the address is verified by whoever creates the operator.
_EMAIL: Final = re.compile(r"[^@\s<>\"]{1,64}@[^@\s<>\"]{1,189}")


class AccountProblem(StrEnum):
    """A reason why an account is not changed. The value is the key of its text."""

    NO_EMAIL = "no_email"
    EXISTS = "exists"
    UNKNOWN = "unknown"


def normal_email(text: str) -> str | None:
    """Return an address as it is stored; None for what is none."""
    email = text.strip().lower()
    return email if _EMAIL.fullmatch(email) and email.isprintable() else None


async def create_operator(
    db: AsyncEngine, email: str, role: Role, programs: Sequence[str] | None, *, by: str
) -> str | AccountProblem:
    """Create an operator, and return a password that has to be changed after the first sign-in.

    Raises Unavailable.
    """
    password = _new_password()
    problem = await add_operator(db, email, role, programs, password, has_to_change=True, by=by)
    return problem or password


async def add_operator(
    db: AsyncEngine,
    email: str,
    role: Role,
    programs: Sequence[str] | None,
    password: str,
    *,
    has_to_change: bool,
    by: str,
) -> AccountProblem | None:
    """Create an operator with a password; one with this address stays as they are. Raises Unavailable."""
    address = normal_email(email)
    if address is None:
        return AccountProblem.NO_EMAIL
    opened = None if programs is None else sorted(set(programs))
    password_hash, now = await hash_password(password), await installation_time(db)
    async with transaction(db) as conn:
        added = await operators.add(
            conn,
            email=address,
            role=role,
            programs=opened,
            password_hash=password_hash,
            has_to_change=has_to_change,
            now=now,
        )
        if not added:
            return AccountProblem.EXISTS
        await log(conn, address, "created", by=by, now=now, after={"role": role, "programs": opened})
    return None


async def list_operators(db: AsyncEngine) -> list[Operator]:
    """List all operators, disabled ones included. Raises Unavailable."""
    async with transaction(db) as conn:
        return await operators.list_operators(conn)


async def reset_operator(db: AsyncEngine, email: str, *, by: str) -> str | AccountProblem:
    """Return a new password that has to be changed. The second factor is removed, a lock-out and all sessions
    end. Raises Unavailable.
    """
    password = _new_password()
    password_hash, now = await hash_password(password), await installation_time(db)
    async with transaction(db) as conn:
        operator = await operators.lock(conn, email.strip().lower())
        if operator is None:
            return AccountProblem.UNKNOWN
        await operators.change(
            conn,
            operator.id,
            password_hash=password_hash,
            has_to_change=True,
            totp_secret=None,
            totp_step=None,
            failures=0,
            failed_at=None,
        )
        await sessions.end_all(conn, operator.id)
        await log(conn, operator.email, "reset", by=by, now=now)
    return password


async def change_operator(
    db: AsyncEngine,
    email: str,
    *,
    role: Role,
    programs: Sequence[str] | None,
    enabled: bool,
    by: str,
) -> AccountProblem | None:
    """Set the role and the programs of an operator, and whether they may sign in. Raises Unavailable."""
    now = await installation_time(db)
    async with transaction(db) as conn:
        operator = await operators.lock(conn, email.strip().lower())
        if operator is None:
            return AccountProblem.UNKNOWN
        opened = None if programs is None else sorted(set(programs))
        disabled_at = None if enabled else operator.disabled_at or now
        before = {"role": operator.role, "programs": operator.programs, "enabled": not operator.disabled_at}
        after = {"role": role, "programs": opened, "enabled": enabled}
        await operators.change(conn, operator.id, role=role, programs=opened, disabled_at=disabled_at)
        if not enabled:
            await sessions.end_all(conn, operator.id)
        await log(conn, operator.email, "changed", by=by, now=now, before=before, after=after)
    return None


async def log(
    conn: AsyncConnection,
    email: str,
    action: str,
    *,
    by: str,
    now: datetime,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write a deed about an operator to the audit log."""
    entry = AuditEntry(
        at=now,
        program_id=None,
        operator=by,
        subject=f"operator:{email}",
        action=action,
        before=before,
        after=after,
    )
    await audit_log.write(conn, entry)


def _new_password() -> str:
    """Make a password that a person can type: four times four letters and digits, 82 bits."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(4))
