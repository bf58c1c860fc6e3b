"""The jobs. Each may run twice, late, or not at all: PostgreSQL has the truth and the sweep goes after it."""

from typing import Any

import structlog

from engage.domain.refusal import Unavailable
from engage.flows import settle as settling
from engage.flows import sweep as sweeping
from engage.flows.parts import Parts, follow_sandbox_clock

log = structlog.get_logger()

# How many join in when one settlement finds more than a batch.
SETTLERS = 4


async def settle(ctx: dict[str, Any], tick: int, settler: int = 0) -> int:
    """The doorbell's job: what has fallen due becomes active. How many credits did."""
    parts: Parts = ctx["parts"]
    try:
        await follow_sandbox_clock(parts)
        return await settling.settle_together(parts, tick=tick, settlers=0 if settler else SETTLERS)
    except Unavailable as away:
        return _left_for_later("settle", away)


async def sweep(ctx: dict[str, Any]) -> int:
    """What no doorbell rang for, and what was not told. How many credits became active."""
    parts: Parts = ctx["parts"]
    try:
        await follow_sandbox_clock(parts)
        return await sweeping.sweep(parts)
    except Unavailable as away:
        return _left_for_later("sweep", away)


async def forget_old_answers(ctx: dict[str, Any]) -> int:
    """Answers kept for Idempotency-Keys go after their time. How many did."""
    try:
        return await sweeping.forget_old_answers(ctx["parts"])
    except Unavailable as away:
        return _left_for_later("forget_old_answers", away)


def _left_for_later(job: str, away: Unavailable) -> int:
    log.warning("a part is away; the next sweep goes on", job=job, part=away.facts["part"])
    return 0
