"""Backtests for tests: started, done by this process, and compared with the ledger."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from engage.domain.backtests.result import BacktestResult
from engage.domain.campaigns.definition import Campaign
from engage.flows.backtests.start import BacktestView, show_backtest, start_backtest
from engage.flows.backtests.work import take_step
from engage.runtime.services import Services
from tests.support.clock import advance


async def start(
    services: Services,
    document: Mapping[str, Any],
    *,
    begin: datetime | None = None,
    until: datetime | None = None,
) -> UUID:
    """Start a backtest a second later, by default of the thirty days until now."""
    now = advance(services, timedelta(seconds=1))
    started = await start_backtest(
        services,
        msgspec.convert(document, Campaign),
        begin=begin or now - timedelta(days=30),
        until=until or now,
        operator="marketing",
    )
    return started.backtest_id


async def work(services: Services) -> int:
    """Take all steps that there are; how many."""
    steps = 0
    while await take_step(services):
        steps += 1
    return steps


async def backtest(services: Services, document: Mapping[str, Any], **window: datetime) -> BacktestResult:
    """The result of a backtest that this process does."""
    shown = await done(services, await start(services, document, **window))
    assert shown.result is not None
    return shown.result


async def done(services: Services, id_: UUID) -> BacktestView:
    await work(services)
    shown = await show_backtest(services, id_)
    assert (shown.state, shown.progress, shown.reason) == ("done", 1.0, None)
    return shown
