"""The steps of a backtest that concern all its parts: dividing the members, the budget, and the result."""

from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.backtests.budget import Accepted, Cut, Hours, add_hours, cut_of, ending_hour, total_left
from engage.domain.backtests.result import result_of
from engage.domain.backtests.sums import Tally
from engage.domain.campaigns.budget import Left
from engage.flows.backtests.job import BudgetLeft, Job
from engage.flows.backtests.outcome import Sums, stored_entries, stored_hours, stored_tally
from engage.flows.backtests.pace import Pace
from engage.runtime.services import Services
from engage.store.backtests import gains, jobs, parts
from engage.store.backtests.jobs import Backtest
from engage.store.backtests.parts import Part
from engage.store.backtests.used import read_used

MEMBERS_PER_PART: Final = 10_000
PARTS_PER_STEP: Final = 100


async def plan(conn: AsyncConnection, backtest: Backtest) -> None:
    """Divide the next members of a backtest that is locked into parts."""
    planned_to = backtest.planned_to
    for _ in range(PARTS_PER_STEP):
        assert planned_to is not None
        part, more = await parts.next_range(conn, backtest.key, planned_to, members=MEMBERS_PER_PART)
        if part is not None:
            await parts.add(conn, part)
        planned_to = part.to_member if part is not None and more else None
        if planned_to is None:
            break
    await jobs.write(conn, backtest, planned_to=planned_to)


async def close_part(conn: AsyncConnection, job: Job, part: Part) -> None:
    """Count a part that is decided, with what the budget leaves."""
    pace, sums = Pace(), Sums(job, Accepted(job.cut))
    for entries in stored_entries(await parts.read_bytes(conn, part.backtest, part.after_member, "entries")):
        for entry in entries:
            sums.add(entry)
            await pace.step()
    await gains.add(conn, part.backtest, sums.gains)
    await parts.write(conn, msgspec.structs.replace(part, state="closed"), sums=sums.encoded())


async def end(services: Services, conn: AsyncConnection, job: Job) -> None:
    """End a backtest that is locked, all of whose parts are closed; or where they wait for the budget, find
    out what that leaves.
    """
    if job.has_total and job.backtest.budget is None:
        left = BudgetLeft(await _cut(conn, job))
        await jobs.write(conn, job.backtest, budget=msgspec.to_builtins(left))
        return
    tally, pace = Tally(), Pace()
    for after in await parts.read_keys(conn, job.backtest.key):
        tally.add(stored_tally(await parts.read_bytes(conn, job.backtest.key, after, "sums")))
        await pace.step()
    result = result_of(tally, job.days, job.rate, main=job.main_country, cut=job.cut, tried=job.times)
    await jobs.end(
        conn, job.backtest.key, "done", now=services.clock.now(), result=msgspec.to_builtins(result)
    )


async def _cut(conn: AsyncConnection, job: Job) -> Cut | None:
    """The end of the draft's budget, over everything that it adds, in the order of acceptance."""
    pace, hours = Pace(), Hours()
    keys = await parts.read_keys(conn, job.backtest.key)
    for after in keys:
        add_hours(hours, stored_hours(await parts.read_bytes(conn, job.backtest.key, after, "hours")))
        await pace.step()
    points, count = 0, 0
    if job.trial.replaces:
        points, count = await read_used(conn, (job.program_id, job.draft.id), before=job.window.start)
    ending = ending_hour(total_left(job.draft, Left(points, count)), hours)
    if ending is None:
        return None
    hour, left = ending
    events = []
    for after in keys:
        for entries in stored_entries(await parts.read_bytes(conn, job.backtest.key, after, "entries")):
            events += [event for entry in entries for event in entry.events if job.may_be_cut(event, hour)]
            await pace.step()
    return cut_of(job.draft, left, events)
