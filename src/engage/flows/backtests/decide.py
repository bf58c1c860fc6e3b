"""Decide a part of a backtest: a range of members."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.backtests.activities import MemberHistory
from engage.domain.backtests.budget import UNUSED, Accepted, UsedByMember, within_member_limits
from engage.domain.backtests.deciding import Deciding, MemberTrial
from engage.domain.backtests.entries import NewEntry
from engage.domain.backtests.sums import Entry
from engage.flows.backtests.facts import MemberFacts, read_facts
from engage.flows.backtests.histories import Histories
from engage.flows.backtests.job import Job
from engage.flows.backtests.outcome import Sums, Undecided
from engage.flows.backtests.pace import Pace
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.store.backtests import gains, jobs, parts
from engage.store.backtests.parts import Part
from engage.store.backtests.used import read_used_by

# A part that takes longer is divided: what a worker that dies loses is small, and others may do the rest.
PART_S: Final = 5.0


class Stopped(Exception):
    """The backtest was cancelled, or has failed."""


async def decide_part(services: Services, conn: AsyncConnection, job: Job, part: Part) -> None:
    """Decide the members of a part that is locked, and write what they come to; or a first half of them, with
    the rest as another part. Raises Stopped; Unavailable.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + PART_S
    sums, undecided = Sums(job, Accepted(None)), Undecided()
    histories = Histories(
        services.db,
        job.program_id,
        job.window,
        rules=job.trial.asked_rules,
        after=part.after_member,
        until=part.to_member,
    )
    deciding = Deciding(job.trial, job.program_id, job.terms, job.draft_terms)
    async for batch in histories.batches():
        entries = await _decide(services, job, deciding, batch)
        if job.has_total:
            undecided.add(entries)
        else:
            for entry in entries:
                sums.add(entry)
        if not await jobs.is_running(conn, job.backtest.key):
            raise Stopped
        if loop.time() > until and part.after_member < histories.reached < part.to_member:
            break
    part = await _shortened(conn, part, histories.reached)
    if job.has_total:
        decided = replace(part, state="decided")
        await parts.write(conn, decided, hours=undecided.encoded_hours(), entries=undecided.encoded())
    else:
        await gains.add(conn, job.backtest.key, sums.gains)
        await parts.write(conn, replace(part, state="closed"), sums=sums.encoded())


async def _decide(
    services: Services, job: Job, deciding: Deciding, histories: Sequence[MemberHistory]
) -> list[Entry]:
    pace = Pace()
    facts = await read_facts(services, job, histories)
    used = await _used(services, job, histories)
    entries = []
    for history in histories:
        entry = await _decide_member(job, deciding, history, facts, pace)
        entry.events = within_member_limits(
            job.draft, (job.program_id, history.member_id), entry.events, used.get(history.member_id, UNUSED)
        )
        entries.append(entry)
    return entries


async def _decide_member(
    job: Job, deciding: Deciding, history: MemberHistory, facts: MemberFacts, pace: Pace
) -> Entry:
    trial = MemberTrial(deciding, history, partial(facts.of, history))
    new = NewEntry(history, job.days, job.activity)
    for credit in history.credits:
        for own in trial.own(credit) if job.trial.about else ():
            new.grant(own)
        change = trial.change(credit)
        new.add(credit, change)
        if credit.campaign == job.draft.id:
            new.lose(credit, trial.lost(credit, change))
        await pace.step()
    return new.entry


async def _used(services: Services, job: Job, histories: Sequence[MemberHistory]) -> dict[str, UsedByMember]:
    """Points and credits that members had of the campaign before the window, where they have a limit."""
    budget = job.draft.budget
    limits = None if budget is None else (budget.points_per_member, budget.per_device)
    if limits in (None, (None, None)) or not job.trial.replaces or not histories:
        return {}
    key = job.program_id, job.draft.id
    async with one_statement(services.db) as conn:
        return await read_used_by(
            conn, key, [history.member_id for history in histories], before=job.window.start
        )


async def _shortened(conn: AsyncConnection, part: Part, reached: str) -> Part:
    """A part that ends with the member who was reached. The rest becomes a part of its own."""
    if reached == part.to_member:
        return part
    done = await parts.count_members(conn, part.program_id, after=part.after_member, until=reached)
    await parts.add(conn, replace(part, after_member=reached, members=part.members - done))
    return replace(part, to_member=reached, members=done)
