"""API keys of the shop's servers and of operators: create, list, bind, revoke, read.

Whoever works `within` some programs sees and changes keys of these alone, and opens no other program.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.operators.programs import check_programs, covers
from engage.flows.operators.administration_log import log_administration
from engage.runtime.database import transaction
from engage.runtime.database_clock import installation_time
from engage.runtime.idempotency import Keyed, claim, keep
from engage.store import api_keys
from engage.store.api_keys import ActiveKey, ListedKey, Scope
from engage.store.audit_log import COMMAND_LINE


async def create_key(
    db: AsyncEngine,
    *,
    name: str,
    scopes: list[Scope],
    programs: Sequence[str] | None,
    operator: str = COMMAND_LINE,
    within: Sequence[str] | None = None,
    keyed: Keyed[str] | None = None,
) -> str:
    """Create a key for programs, or for every program (None), and return it. It cannot be read again: only
    its hash is stored. Raises Refusal other_program, request_in_flight; Unavailable.
    """
    check_programs(within, programs)
    key, now = api_keys.new_key(), await installation_time(db)
    async with transaction(db) as conn:
        await claim(conn, keyed)
        await add_key(conn, key, name=name, scopes=scopes, programs=programs, operator=operator, now=now)
        await keep(conn, keyed, key)
    return key


async def add_key(
    conn: AsyncConnection,
    key: str,
    *,
    name: str,
    scopes: list[Scope],
    programs: Sequence[str] | None,
    operator: str,
    now: datetime,
) -> None:
    """Store a key that was made; one that is stored already stays as it is."""
    added = await api_keys.add(conn, key, name=name, scopes=scopes, programs=programs, now=now)
    if added is not None:
        after = {"name": name, "scopes": scopes, "programs": programs}
        await log_administration(conn, f"api_key:{added}", "created", operator=operator, now=now, after=after)


async def list_keys(db: AsyncEngine, *, within: Sequence[str] | None = None) -> list[ListedKey]:
    """List keys, oldest first, revoked ones included. Raises Unavailable."""
    async with transaction(db) as conn:
        return [key for key in await api_keys.list_keys(conn) if covers(within, key.programs)]


async def bind_key(
    db: AsyncEngine,
    key_id: str,
    programs: Sequence[str] | None,
    *,
    operator: str = COMMAND_LINE,
    within: Sequence[str] | None = None,
    keyed: Keyed[bool] | None = None,
) -> bool:
    """Bind a key to programs, or to every program (None); return false if no active key has this id.

    Raises Refusal other_program, request_in_flight; Unavailable.
    """
    check_programs(within, programs)
    now = await installation_time(db)
    async with transaction(db) as conn:
        await claim(conn, keyed)
        key = await _lock(conn, key_id, within)
        if key is None:
            return False
        await api_keys.bind(conn, key_id, programs)
        before, after = {"programs": key.programs}, {"programs": programs}
        await log_administration(
            conn, f"api_key:{key_id}", "bound", operator=operator, now=now, before=before, after=after
        )
        await keep(conn, keyed, True)
    return True


async def revoke_key(
    db: AsyncEngine,
    key_id: str,
    *,
    operator: str = COMMAND_LINE,
    within: Sequence[str] | None = None,
    keyed: Keyed[bool] | None = None,
) -> bool:
    """Revoke a key; return false if no active key has this id. APIs accept it for a few more seconds.

    Raises Refusal request_in_flight; Unavailable.
    """
    now = await installation_time(db)
    async with transaction(db) as conn:
        await claim(conn, keyed)
        key = await _lock(conn, key_id, within)
        if key is None:
            return False
        await api_keys.revoke(conn, key_id, now=now)
        before = {"name": key.name, "scopes": key.scopes, "programs": key.programs}
        await log_administration(
            conn, f"api_key:{key_id}", "revoked", operator=operator, now=now, before=before
        )
        await keep(conn, keyed, True)
    return True


async def read_active_keys(db: AsyncEngine) -> dict[str, ActiveKey]:
    """Read all active keys, by their ids. Raises Unavailable."""
    async with transaction(db) as conn:
        return await api_keys.read_active(conn)


async def _lock(conn: AsyncConnection, key_id: str, within: Sequence[str] | None) -> ListedKey | None:
    key = await api_keys.lock_key(conn, key_id)
    return key if key is not None and covers(within, key.programs) else None
