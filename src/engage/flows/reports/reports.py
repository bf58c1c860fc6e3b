"""Reports for finance: the liability at an instant, and one member's past balance."""

import asyncio
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.clock import Clock
from engage.domain.accounts import liability_report
from engage.domain.accounts.liability import LiabilityReport, PointRate
from engage.domain.accounts.period import parse_period
from engage.domain.program import versions
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.flows.reports.reader import reading, turn
from engage.ledger.reports import PastBalance, read_past_balance, read_sums
from engage.runtime.database_clock import read_clock
from engage.runtime.program_cache import parsed
from engage.settings import Settings
from engage.store import programs
from engage.store.members.members import read_profiles

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
    async with turn(_reporting), reading(settings, timeout_s) as conn:
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
    async with reading(settings, timeout_s) as conn:
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


async def _published(conn: AsyncConnection, program_id: str | None) -> dict[str, list[Program]]:
    """Read the versions by program, oldest first. Raises Refusal unknown_program."""
    found = parsed(await programs.read_all(conn))
    if program_id is not None and program_id not in found:
        raise Refusal(Code.UNKNOWN_PROGRAM, program=program_id)
    return found
