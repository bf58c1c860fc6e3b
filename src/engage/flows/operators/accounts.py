"""Accounts of operators: create, list, reset, change, disable. Each deed is in the audit log.

Whoever works `within` some programs sees and changes operators of these alone, and opens no other program
to anybody. Nobody changes their own account here.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.operators.emails import normal_email
from engage.domain.operators.programs import check_programs, covers
from engage.domain.operators.roles import Role
from engage.flows.operators.administration_log import log_administration
from engage.flows.operators.password_hashes import hash_password
from engage.runtime.database import transaction
from engage.runtime.database_clock import installation_time
from engage.runtime.idempotency import Keyed, claim, keep
from engage.store.operators import operators, sessions
from engage.store.operators.operators import Operator


class AccountProblem(StrEnum):
    """A reason why an account is not changed. The value is the key of its text."""

    NO_EMAIL = "no_email"
    EXISTS = "exists"
    UNKNOWN = "unknown"
    OWN = "own"


async def create_operator(
    db: AsyncEngine,
    email: str,
    role: Role,
    programs: Sequence[str] | None,
    *,
    by: str,
    within: Sequence[str] | None = None,
    password: str | None = None,
    keyed: Keyed[str | AccountProblem] | None = None,
) -> str | AccountProblem:
    """Create an operator, and return the password. Without one, a password is made, which has to be changed
    after the first sign-in.

    Raises Refusal other_program, request_in_flight; Unavailable.
    """
    check_programs(within, programs)
    address = normal_email(email)
    if address is None:
        return AccountProblem.NO_EMAIL
    given = password or _new_password()
    password_hash, now = await hash_password(given), await installation_time(db)
    opened = _opened(programs)
    async with transaction(db) as conn:
        await claim(conn, keyed)
        added = await operators.add(
            conn,
            email=address,
            role=role,
            programs=opened,
            password_hash=password_hash,
            has_to_change=password is None,
            now=now,
        )
        if not added:
            return AccountProblem.EXISTS
        await _log(conn, address, "created", by=by, now=now, after={"role": role, "programs": opened})
        await keep(conn, keyed, given)
    return given


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
        await _log(conn, operator.email, "reset", by=by, now=now)
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
        opened = _opened(programs)
        disabled_at = None if enabled else operator.disabled_at or now
        before = {"role": operator.role, "programs": operator.programs, "enabled": not operator.disabled_at}
        after = {"role": role, "programs": opened, "enabled": enabled}
        await operators.change(conn, operator.id, role=role, programs=opened, disabled_at=disabled_at)
        if not enabled:
            await sessions.end_all(conn, operator.id)
        await _log(conn, operator.email, "changed", by=by, now=now, before=before, after=after)
        await keep(conn, keyed, None)
    return None


async def _log(
    conn: AsyncConnection,
    email: str,
    action: str,
    *,
    by: str,
    now: datetime,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    await log_administration(
        conn, f"operator:{email}", action, operator=by, now=now, before=before, after=after
    )


async def _lock(
    conn: AsyncConnection, email: str, *, by: str, within: Sequence[str] | None
) -> Operator | AccountProblem:
    """Lock an operator whom `by` may change."""
    operator = await operators.lock(conn, email)
    if operator is None or not covers(within, operator.programs):
        return AccountProblem.UNKNOWN
    return AccountProblem.OWN if operator.email == by else operator


def _opened(programs: Sequence[str] | None) -> list[str] | None:
    """Programs as they are stored."""
    return None if programs is None else sorted(set(programs))


def _new_password() -> str:
    """Make a password that a person can type: four times four letters and digits, 82 bits."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(4))
