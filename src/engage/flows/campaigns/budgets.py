"""The budgets of campaigns: set by approvals, filled up by returns, and watched by alerts."""

from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.budget import Left, total_after
from engage.domain.campaigns.definition import Campaign
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.campaigns import budgets as store

RETURNS_PER_BATCH: Final = 1_000

log = structlog.get_logger()


async def set_budget(conn: AsyncConnection, campaign: Campaign) -> None:
    """Make the budget of a version that is approved in this transaction the one of its campaign.

    What the campaign has granted before stays used, also where the new limit is lower, or is the first one.
    """
    key, budget = (campaign.program, campaign.id), campaign.budget
    points, count = (None, None) if budget is None else (budget.points, budget.count)
    left = (await store.lock_left(conn, [key])).get(key, Left(None, None))
    total = (await store.read_totals(conn, [key])).get(key)
    if total is None and points is None and count is None:
        return
    total = total or Left(None, None)
    used_points, used_count = _used(total.points, left.points), _used(total.count, left.count)
    if used_points is None or used_count is None:
        # Of a limit that there was not, all that was granted is used. A large campaign has granted much, and
        # an approval has little time: what slices know is not read.
        asked = (points is not None and used_points is None) or (count is not None and used_count is None)
        granted = await store.read_granted(conn, key) if asked else store.Granted(0, 0)
        used_points = granted.points if used_points is None else used_points
        used_count = granted.count if used_count is None else used_count
    new = Left(total_after(points, used_points), total_after(count, used_count))
    rest = Left(
        None if new.points is None else new.points - used_points,
        None if new.count is None else new.count - used_count,
    )
    await store.set_total(conn, key, new)
    await store.write_left(conn, {key: rest})


def _used(total: int | None, left: int | None) -> int | None:
    """The use of a limit by its slices; None where there was no limit."""
    return None if total is None or left is None else total - left


async def fold_returns(services: Services, *, now: datetime, on_time: bool) -> int:
    """Add what was taken back to budgets. Raises Unavailable."""
    done = 0
    while True:
        async with transaction(services.db) as conn:
            folded = await store.fold_returns(conn, now=now, batch=RETURNS_PER_BATCH)
        done += folded
        if not folded:
            return done


async def publish_alerts(services: Services, *, now: datetime, on_time: bool) -> int:
    """Log which budgets have reached a percentage, each once. Reports show them too.

    Raises Unavailable.
    """
    async with transaction(services.db) as conn:
        alerts = await store.publish_alerts(conn, now=now)
    for alert in alerts:
        log.warning(
            "a budget is used up to a percentage",
            program=alert.program_id,
            campaign=alert.campaign_id,
            of=alert.of,
            percent=alert.percent,
            total=alert.total,
        )
    return len(alerts)
