"""Reports for finance: the liability at an instant, and one member's past balance.

A report reads a large ledger several times. It opens a separate connection, so that no member waits for it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.clock import Clock
from engage.domain.accounts import liability_report
from engage.domain.accounts.liability import LiabilityReport, PointRate
from engage.domain.accounts.period import parse_period
from engage.domain.program import versions
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.ledger.reports import PastBalance, read_past_balance, read_sums
from engage.runtime.database import open_database, snapshot
from engage.runtime.database_clock import read_clock
from engage.runtime.program_cache import parsed
from engage.settings import Settings
from engage.store import programs
from engage.store.members.members import read_profiles

# Reports that a process computes at a time, each on a connection of its own.
READERS: Final = 2
# How long a report waits for its turn. A caller who gets 503 holds nothing.
TURN_S: Final = 10.0

_readers = asyncio.Semaphore(READERS)
# One report on the liability at a time: each may use all of a connection's memory.
_reporting = asyncio.Semaphore(1)


class PastMemberBalance(Struct, frozen=True, kw_only=True):
    """A member's balance at an instant, with everything that happened at that instant."""

    program: str
    member_id: str
    at: datetime
    balance: PastBalance


async def report_liability(
    settings: Settings,
    *,
    at: str | None = None,
    since: str | None = None,
    program_id: str | None = None,
    clock: Clock | None = None,
    timeout_s: float | None = None,
) -> LiabilityReport:
    """Report the liability at `at`, and the movements since `since`.

    Both are instants in RFC 3339 or dates (`engage.domain.accounts.period`); the defaults are now and the
    beginning. Without `clock` the installation's clock counts. Raises InvalidPeriod; Refusal unknown_program;
    Unavailable; DocumentError if a published version cannot be read.
    """
    async with _turn(_reporting), _reading(settings, timeout_s) as conn:
        period = parse_period(at, since, now=(clock or await read_clock(settings, conn)).now())
        published = await _published(conn, program_id)

        def rate_of(program_id: str, country: str) -> PointRate:
            return versions.point_rate(published[program_id], period.at, country)

        return liability_report.compute(await read_sums(conn, period, program_id), rate_of, period)


async def report_balance(
    settings: Settings,
    member_id: str,
    *,
    program_id: str | None = None,
    at: str | None = None,
    clock: Clock | None = None,
    timeout_s: float | None = None,
) -> list[PastMemberBalance]:
    """Report a member's balance at `at`, in one program or in all that know the member, also if merged or
    erased. Raises as `report_liability`, and Refusal unknown_member.
    """
    if "\0" in member_id:
        raise Refusal(Code.UNKNOWN_MEMBER)  # PostgreSQL stores no text with NUL.
    async with _reading(settings, timeout_s) as conn:
        period = parse_period(at, None, now=(clock or await read_clock(settings, conn)).now())
        published = await _published(conn, program_id)
        ids = sorted(published) if program_id is None else [program_id]
        profiles = await read_profiles(conn, ids, member_id)
        if not profiles:
            raise Refusal(Code.UNKNOWN_MEMBER)
        return [
            PastMemberBalance(
                program=profile.program_id,
                member_id=member_id,
                at=period.at,
                balance=await read_past_balance(conn, profile.program_id, member_id, at=period.at),
            )
            for profile in sorted(profiles, key=lambda profile: profile.program_id)
        ]


@asynccontextmanager
async def _reading(settings: Settings, timeout_s: float | None) -> AsyncIterator[AsyncConnection]:
    """Open a connection, when it is this report's turn. Raises Unavailable where that takes too long."""
    async with _turn(_readers):
        db = open_database(settings.database_url, pool_size=1, command_timeout_s=timeout_s)
        try:
            async with snapshot(db) as conn:
                yield conn
        finally:
            await db.dispose()


@asynccontextmanager
async def _turn(bound: asyncio.Semaphore) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(TURN_S):
            await bound.acquire()
    except TimeoutError:
        raise Unavailable("reports") from None
    try:
        yield
    finally:
        bound.release()


async def _published(conn: AsyncConnection, program_id: str | None) -> dict[str, list[Program]]:
    """Read the versions by program, oldest first. Raises Refusal unknown_program."""
    found = parsed(await programs.read_all(conn))
    if program_id is not None and program_id not in found:
        raise Refusal(Code.UNKNOWN_PROGRAM, program=program_id)
    return found
