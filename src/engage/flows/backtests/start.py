"""Start and cancel backtests, and show them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.backtests.result import BacktestResult
from engage.domain.calendar import instant
from engage.domain.campaigns.definition import Campaign
from engage.domain.definitions.definition import moment_problems
from engage.domain.document.compact import compact
from engage.domain.document.errors import Problem
from engage.domain.refusals import Code, Refusal
from engage.flows.backtests.job import main_country, zone_of
from engage.flows.campaigns.check import check_document
from engage.runtime.database import one_statement, transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.store.backtests import gains, jobs
from engage.store.backtests.jobs import Backtest, BacktestState

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
MOST_RUNNING: Final = 20


class InvalidWindow(ValueError):
    """A window that is not in the past, with all that is wrong about it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


class StartedBacktest(Struct, frozen=True):
    """A backtest that begins."""

    backtest_id: UUID


class GrantView(Struct, frozen=True, kw_only=True):
    """The points of a grant that were given so far, and to how many members. `done`: all have theirs."""

    at: datetime
    operator: str
    done: bool
    members: int
    points: int


class BacktestView(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A backtest as operators see it. `budget_points` is the budget of the document that is tried. `result`
    is that of one that is done, `reason` why one has failed. `grant` is null until the gains are granted.
    """

    backtest_id: UUID
    program: str
    campaign: str
    from_: datetime
    until: datetime
    created_at: datetime
    operator: str
    state: BacktestState
    progress: float
    budget_points: int | None
    result: BacktestResult | None
    reason: str | None
    grant: GrantView | None


async def start_backtest(
    services: Services,
    draft: Campaign,
    *,
    begin: datetime,
    until: datetime,
    operator: str,
    keyed: Keyed[StartedBacktest] | None = None,
) -> StartedBacktest:
    """Start a backtest of a draft on the activities of a window of the past; workers do it. Times without an
    offset are local times of the program's main country.

    Raises DocumentError; InvalidWindow; Refusal too_many_backtests, request_in_flight; Unavailable.
    """
    await check_document(services, draft)
    programs = services.programs.versions(draft.program)
    zone = zone_of(programs, main_country(programs))
    # Beyond these years there may be no such time in UTC.
    problems = [*moment_problems("from", begin), *moment_problems("until", until)]
    if problems:
        raise InvalidWindow(problems)
    now = services.clock.now()
    backtest = Backtest(
        program_id=draft.program,
        id=new_id(),
        campaign_id=draft.id,
        document=compact(draft),
        from_at=instant(begin, zone),
        until_at=instant(until, zone),
        created_at=now,
        operator=operator,
    )
    _check_window(backtest)
    started = StartedBacktest(backtest.id)
    async with transaction(services.db) as conn:
        await claim(conn, keyed)
        await jobs.lock_all(conn)
        if await jobs.count_running(conn, draft.program) >= MOST_RUNNING:
            raise Refusal(Code.TOO_MANY_BACKTESTS, limit=MOST_RUNNING)
        await jobs.add(conn, backtest)
        await keep(conn, keyed, started)
    return started


async def cancel_backtest(services: Services, id_: UUID) -> BacktestView:
    """Cancel a backtest that runs; one that was cancelled is shown as it is.

    Raises Refusal not_found, wrong_state; Unavailable.
    """
    async with transaction(services.db) as conn:
        key = (await _found(conn, id_)).key
        await jobs.end(conn, key, "cancelled", now=services.clock.now())
        backtest = await jobs.read(conn, key)
        if backtest.state != "cancelled":
            raise Refusal(Code.WRONG_STATE, state=backtest.state)
        return (await _views(conn, [backtest]))[0]


async def show_backtest(services: Services, id_: UUID) -> BacktestView:
    """Raises Refusal not_found; Unavailable."""
    async with one_statement(services.db) as conn:
        return (await _views(conn, [await _found(conn, id_)]))[0]


async def list_backtests(
    services: Services,
    program_ids: Sequence[str],
    *,
    campaign_id: str | None = None,
    before: UUID | None,
    limit: int,
) -> list[BacktestView]:
    """The backtests of programs, of all campaigns or of one, newest first. Raises Unavailable."""
    async with one_statement(services.db) as conn:
        found = await jobs.read_page(conn, program_ids, campaign_id=campaign_id, before=before, limit=limit)
        return await _views(conn, found)


def _check_window(backtest: Backtest) -> None:
    """Raises InvalidWindow."""
    problems = []
    begin, until, now = backtest.from_at, backtest.until_at, backtest.created_at
    if begin < EARLIEST:
        problems.append(Problem("from", f"a time since {EARLIEST.year}", begin.isoformat()))
    if until > now:
        problems.append(Problem("until", f"a time in the past: it is {now.isoformat()}", until.isoformat()))
    if until <= begin:
        problems.append(Problem("until", f"a time after from ({begin.isoformat()})", until.isoformat()))
    if problems:
        raise InvalidWindow(problems)


async def _found(conn: AsyncConnection, id_: UUID) -> Backtest:
    found = await jobs.find(conn, id_)
    if found is None:
        raise Refusal(Code.NOT_FOUND)
    return found


async def _views(conn: AsyncConnection, backtests: Sequence[Backtest]) -> list[BacktestView]:
    # Before all members are in parts, the share of those who are done is unknown.
    running = [each.id for each in backtests if each.state == "running" and each.planned_to is None]
    progress = await jobs.read_progress(conn, running) if running else {}
    granting = [each.id for each in backtests if each.granted_at is not None]
    granted = await gains.read_granted(conn, granting) if granting else {}
    return [
        _view(each, progress.get(each.id, each.progress), granted.get(each.id, (0, 0))) for each in backtests
    ]


def _view(backtest: Backtest, progress: float, granted: tuple[int, int]) -> BacktestView:
    return BacktestView(
        backtest_id=backtest.id,
        program=backtest.program_id,
        campaign=backtest.campaign_id,
        from_=backtest.from_at,
        until=backtest.until_at,
        created_at=backtest.created_at,
        operator=backtest.operator,
        state=backtest.state,
        progress=round(progress, 3),
        budget_points=(backtest.document.get("budget") or {}).get("points"),
        result=None if backtest.result is None else msgspec.convert(backtest.result, BacktestResult),
        reason=backtest.reason,
        grant=_grant(backtest, *granted),
    )


def _grant(backtest: Backtest, members: int, points: int) -> GrantView | None:
    if backtest.granted_at is None or backtest.granted_by is None:
        return None
    return GrantView(
        at=backtest.granted_at,
        operator=backtest.granted_by,
        done=backtest.granted_all,
        members=members,
        points=points,
    )
