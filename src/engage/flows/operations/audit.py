"""The audit: check every invariant of the ledger in one snapshot, whether the system runs or not."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.audit import Check, Finding, Published, passes, run_checks
from engage.clock import Clock
from engage.connections.cancellation import cancel_all
from engage.ledger.checks import LEDGER_CHECKS
from engage.ledger.totals import Totals, read_totals
from engage.runtime.campaign_cache import indexes
from engage.runtime.database_clock import read_clock
from engage.runtime.program_cache import parsed
from engage.runtime.stale_reads import stale_snapshots
from engage.settings import Settings
from engage.store import programs as store
from engage.store.backtests.checks import BACKTEST_CHECKS
from engage.store.campaigns.actions import read_all as read_all_actions
from engage.store.campaigns.checks import CAMPAIGN_CHECKS
from engage.store.campaigns.versions import read_approved
from engage.store.checks import STORE_CHECKS
from engage.store.draws.checks import DRAW_CHECKS
from engage.store.games.checks import GAME_CHECKS
from engage.store.leaderboards.checks import LEADERBOARD_CHECKS
from engage.store.protection.checks import PROTECTION_CHECKS
from engage.store.quizzes.checks import QUIZ_CHECKS
from engage.store.referrals.checks import REFERRAL_CHECKS
from engage.store.rewards.checks import REWARD_CHECKS
from engage.store.segments.checks import SEGMENT_CHECKS
from engage.store.shop.checks import ORDER_CHECKS
from engage.store.tiers.checks import TIER_CHECKS
from engage.store.withdrawals.checks import WITHDRAWAL_CHECKS

__all__ = ["CHECKS", "Audit", "Check", "Finding", "Totals", "audit", "audit_snapshot"]

# The ledger and each feature bring their own.
CHECKS = (
    *LEDGER_CHECKS,
    *ORDER_CHECKS,
    *REWARD_CHECKS,
    *QUIZ_CHECKS,
    *REFERRAL_CHECKS,
    *PROTECTION_CHECKS,
    *DRAW_CHECKS,
    *GAME_CHECKS,
    *LEADERBOARD_CHECKS,
    *TIER_CHECKS,
    *WITHDRAWAL_CHECKS,
    *CAMPAIGN_CHECKS,
    *BACKTEST_CHECKS,
    *SEGMENT_CHECKS,
    *STORE_CHECKS,
)

ROWS_SHOWN = 10

# Passes that read large tables at the same time, and the memory of each sort and join in them.
CONNECTIONS = 2

# Checks read whole tables. An index that has the order they ask for would lead to a page for each row.
_SETTINGS = text("""
SELECT set_config('work_mem', '128MB', true), set_config('random_page_cost', '40', true),
       set_config('effective_cache_size', '64MB', true)
""")


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
    async with stale_snapshots(settings, timeout_s=None, count=CONNECTIONS) as conns:
        return await _audit(conns, await read_clock(settings, conns[0]), CHECKS, on_check)


async def audit_snapshot(conn: AsyncConnection, clock: Clock, *, checks: Sequence[Check] = CHECKS) -> Audit:
    """Run checks on a connection whose transaction reads one snapshot."""
    return await _audit([conn], clock, checks, _ignore)


async def _audit(
    conns: Sequence[AsyncConnection], clock: Clock, checks: Sequence[Check], on_check: OnCheck
) -> Audit:
    """Run checks on connections that read the same snapshot, on each a pass at a time."""
    published = await _read_published(conns[0])
    waiting = iter(passes(checks))
    found: list[Finding] = []
    done = 0

    async def run_passes(conn: AsyncConnection) -> None:
        nonlocal done
        await conn.execute(_SETTINGS)
        for sharing in waiting:
            on_check(done, sharing[0])
            found.extend(
                await run_checks(
                    conn, sharing, published=published, now=clock.now(), wall=clock.wall(), limit=ROWS_SHOWN
                )
            )
            done += len(sharing)

    await _all_of([run_passes(conn) for conn in conns])
    found.sort(key=lambda finding: checks.index(finding.check))
    return Audit(
        await read_totals(conns[0]),
        broken=[finding for finding in found if not finding.check.warning],
        late=[finding for finding in found if finding.check.warning],
    )


async def _all_of(running: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run them at once. When one fails, the others end before its error is raised."""
    tasks = [asyncio.create_task(each) for each in running]
    try:
        await asyncio.gather(*tasks)
    finally:
        await cancel_all(tasks)


async def _read_published(conn: AsyncConnection) -> Published:
    by_program = parsed(await store.read_all(conn))
    campaigns = indexes(await read_all_actions(conn), await read_approved(conn), {})
    return Published(
        [version for versions in by_program.values() for version in versions],
        [each for index in campaigns.values() for each in index.published],
    )
