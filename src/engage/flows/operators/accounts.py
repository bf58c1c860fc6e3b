"""Accounts of operators: create, list, reset, change, disable. Each deed is in the audit log.

Whoever works `within` some programs sees and changes operators of these alone, and opens no other program
to anybody. Nobody changes their own account here.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.operators.programs import check_programs, covers
from engage.domain.operators.roles import Role
from engage.flows.operators.password_hashes import hash_password
from engage.runtime.database import transaction
from engage.runtime.database_clock import installation_time
from engage.runtime.idempotency import Keyed, claim, keep
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
    OWN = "own"


def normal_email(text: str) -> str | None:
    """Return an address as it is stored; None for what is none."""
    email = text.strip().lower()
    return email if _EMAIL.fullmatch(email) and email.isprintable() else None


async def create_operator(
    db: AsyncEngine,
    email: str,
    role: Role,
    programs: Sequence[str] | None,
    *,
    by: str,
    within: Sequence[str] | None = None,
    keyed: Keyed[str | AccountProblem] | None = None,
) -> str | AccountProblem:
    """Create an operator, and return a password that has to be changed after the first sign-in.

    Raises Refusal other_program, request_in_flight; Unavailable.
    """
    check_programs(within, programs)
    password = _new_password()
    address = normal_email(email)
    if address is None:
        return AccountProblem.NO_EMAIL
    password_hash, now = await hash_password(password), await installation_time(db)
    async with transaction(db) as conn:
        await claim(conn, keyed)
        new = _NewOperator(address, role, programs, password_hash, has_to_change=True)
        if not await _add(conn, new, by=by, now=now):
            return AccountProblem.EXISTS
        await keep(conn, keyed, password)
    return password


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
    password_hash, now = await hash_password(password), await installation_time(db)
    async with transaction(db) as conn:
        new = _NewOperator(address, role, programs, password_hash, has_to_change=has_to_change)
        added = await _add(conn, new, by=by, now=now)
    return None if added else AccountProblem.EXISTS


async def list_operators(db: AsyncEngine, *, within: Sequence[str] | None = None) -> list[Operator]:
    """List operators, disabled ones included. Raises Unavailable."""
    async with transaction(db) as conn:
        found = await operators.list_operators(conn)
    return [operator for operator in found if covers(within, operator.programs)]


async def reset_operator(
    db: AsyncEngine,
    email: str,
    *,
    by: str,
    within: Sequence[str] | None = None,
    keyed: Keyed[str | AccountProblem] | None = None,
) -> str | AccountProblem:
    """Return a new password that has to be changed. The second factor is removed, a lock-out and all sessions
    end. Raises Refusal request_in_flight; Unavailable.
    """
    password = _new_password()
    password_hash, now = await hash_password(password), await installation_time(db)
    async with transaction(db) as conn:
        await claim(conn, keyed)
        operator = await _lock(conn, email, by=by, within=within)
        if isinstance(operator, AccountProblem):
            return operator
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
        await keep(conn, keyed, password)
    return password


async def change_operator(
    db: AsyncEngine,
    email: str,
    *,
    role: Role,
    programs: Sequence[str] | None,
    enabled: bool,
    by: str,
    within: Sequence[str] | None = None,
    keyed: Keyed[AccountProblem | None] | None = None,
) -> AccountProblem | None:
    """Set the role and the programs of an operator, and whether they may sign in.

    Raises Refusal other_program, request_in_flight; Unavailable.
    """
    check_programs(within, programs)
    now = await installation_time(db)
    async with transaction(db) as conn:
        await claim(conn, keyed)
        operator = await _lock(conn, email, by=by, within=within)
        if isinstance(operator, AccountProblem):
            return operator
        opened = None if programs is None else sorted(set(programs))
        disabled_at = None if enabled else operator.disabled_at or now
        before = {"role": operator.role, "programs": operator.programs, "enabled": not operator.disabled_at}
        after = {"role": role, "programs": opened, "enabled": enabled}
        await operators.change(conn, operator.id, role=role, programs=opened, disabled_at=disabled_at)
        if not enabled:
            await sessions.end_all(conn, operator.id)
        await log(conn, operator.email, "changed", by=by, now=now, before=before, after=after)
        await keep(conn, keyed, None)
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


class _NewOperator(Struct, frozen=True):
    email: str
    role: Role
    programs: Sequence[str] | None
    password_hash: str
    has_to_change: bool


async def _add(conn: AsyncConnection, new: _NewOperator, *, by: str, now: datetime) -> bool:
    """Store an operator; false if there is one with this address, who stays as they are."""
    opened = None if new.programs is None else sorted(set(new.programs))
    added = await operators.add(
        conn,
        email=new.email,
        role=new.role,
        programs=opened,
        password_hash=new.password_hash,
        has_to_change=new.has_to_change,
        now=now,
    )
    if added:
        await log(conn, new.email, "created", by=by, now=now, after={"role": new.role, "programs": opened})
    return added


async def _lock(
    conn: AsyncConnection, email: str, *, by: str, within: Sequence[str] | None
) -> Operator | AccountProblem:
    """Lock an operator whom `by` may change."""
    address = email.strip().lower()
    if address == by:
        return AccountProblem.OWN
    operator = await operators.lock(conn, address)
    if operator is None or not covers(within, operator.programs):
        return AccountProblem.UNKNOWN
    return operator


def _new_password() -> str:
    """Make a password that a person can type: four times four letters and digits, 82 bits."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(4))
