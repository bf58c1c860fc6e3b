"""The audit: check every invariant of the ledger in one snapshot, whether the system runs or not."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.clock import Clock
from engage.ledger import audit as ledger
from engage.ledger.audit import Finding, Totals
from engage.ledger.checks import CHECKS, Check
from engage.runtime.database import open_database, snapshot
from engage.runtime.program_cache import parsed
from engage.runtime.sandbox_clock import read_clock
from engage.settings import Settings
from engage.store import programs

__all__ = ["CHECKS", "Audit", "Check", "Finding", "Totals", "audit", "audit_snapshot"]

ROWS_SHOWN = 10

# Checks sort and join whole tables, one check at a time.
_WORK_MEMORY = text("SET LOCAL work_mem = '128MB'")


class Audit(Struct, frozen=True):
    """Totals, broken invariants, and late work. If nothing is broken, every point is accounted for."""

    totals: Totals
    broken: list[Finding]
    late: list[Finding]


OnCheck = Callable[[int, Check], None]


def _ignore(_done: int, _check: Check) -> None:
    pass


async def audit(settings: Settings, *, on_check: OnCheck = _ignore) -> Audit:
    """Run all checks; call `on_check` before each one with the number of checks done.

    Raises Unavailable; DocumentError if a published version cannot be read.
    """
    # No time limit: the checks read a large ledger several times.
    db = open_database(settings.database_url, pool_size=1, command_timeout_s=None)
    try:
        async with snapshot(db) as conn:
            await conn.execute(_WORK_MEMORY)
            return await audit_snapshot(conn, await read_clock(settings, conn), on_check=on_check)
    finally:
        await db.dispose()


async def audit_snapshot(
    conn: AsyncConnection, clock: Clock, *, checks: Sequence[Check] = CHECKS, on_check: OnCheck = _ignore
) -> Audit:
    """Run checks on a connection whose transaction reads one snapshot."""
    rules = await _rules(conn)
    found = []
    for done, check in enumerate(checks):
        on_check(done, check)
        finding = await ledger.run_check(
            conn, check, rules=rules, now=clock.now(), wall=clock.wall(), limit=ROWS_SHOWN
        )
        if finding.count:
            found.append(finding)
    return Audit(
        await ledger.read_totals(conn),
        broken=[finding for finding in found if not finding.check.warning],
        late=[finding for finding in found if finding.check.warning],
    )


async def _rules(conn: AsyncConnection) -> dict[str, list[Any]]:
    by_program = parsed(await programs.read_all(conn))
    return ledger.rules_as_rows([version for versions in by_program.values() for version in versions])
