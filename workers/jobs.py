"""The jobs. Each may run twice, late, or not at all: PostgreSQL has the truth and the sweep goes after it."""

from typing import Any

import structlog
from arq.typing import WorkerCoroutine

from engage.domain.refusals import Unavailable
from engage.flows.scheduled import expire as expiring
from engage.flows.scheduled import settle as settling
from engage.flows.scheduled import sweep as sweeping
from engage.flows.withdrawals import reconcile as reconciling
from engage.runtime.due_work import DueWork
from engage.runtime.services import Services, follow_sandbox_clock

log = structlog.get_logger()

# How many join in when one settlement finds more than a batch.
SETTLERS = 4


async def settle(ctx: dict[str, Any], tick: int, settler: int = 0) -> int:
    """The doorbell's job: what has fallen due becomes active. How many credits did."""
    services: Services = ctx["services"]
    try:
        await follow_sandbox_clock(services)
        return await settling.settle_together(services, tick=tick, settlers=0 if settler else SETTLERS)
    except Unavailable as away:
        return _left_for_later("settle", away)


async def expire(ctx: dict[str, Any], tick: int, other: int) -> int:
    """A great many points end at once, and a sweep has asked others to join in. How many lots ended."""
    services: Services = ctx["services"]
    try:
        await follow_sandbox_clock(services)
        return await expiring.expire_together(services, others=0)
    except Unavailable as away:
        return _left_for_later("expire", away)


def sweep(work: DueWork) -> WorkerCoroutine:
    """A job that does what is due of one kind of work: none waits for another, however much there is."""

    async def sweep_kind(ctx: dict[str, Any]) -> int:
        services: Services = ctx["services"]
        try:
            await follow_sandbox_clock(services)
            return await sweeping.sweep(services, work)
        except Unavailable as away:
            return _left_for_later(f"sweep {work.name}", away)

    return sweep_kind


async def publish_outbox(ctx: dict[str, Any]) -> int:
    """What was not told is told. How many changes."""
    try:
        return await sweeping.publish_outbox(ctx["services"])
    except Unavailable as away:
        return _left_for_later("publish_outbox", away)


async def delete_old_answers(ctx: dict[str, Any]) -> int:
    """Answers kept for Idempotency-Keys go after their time. How many did."""
    try:
        return await sweeping.delete_old_answers(ctx["services"])
    except Unavailable as away:
        return _left_for_later("delete_old_answers", away)


async def reconcile_payouts(ctx: dict[str, Any]) -> int:
    """Payouts are compared with what the provider has. How many were."""
    services: Services = ctx["services"]
    try:
        await follow_sandbox_clock(services)
        return (await reconciling.reconcile_in_turn(services)).compared
    except Unavailable as away:
        return _left_for_later("reconcile_payouts", away)


def _left_for_later(job: str, away: Unavailable) -> int:
    log.warning("a part is away; the next sweep goes on", job=job, part=away.facts["part"])
    return 0
