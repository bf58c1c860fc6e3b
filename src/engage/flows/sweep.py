"""What was missed: credits nobody rang for, balances nobody was told of, answers kept long enough."""

from datetime import timedelta

from engage.flows.parts import Parts
from engage.flows.settle import settle_due
from engage.flows.transaction import transaction
from engage.ledger.balances import read_balances
from engage.signals.topics import change_of
from engage.store import idempotency, outbox

UNTOLD_AFTER = timedelta(seconds=5)
ROWS_PER_SWEEP = 500
ANSWERS_KEPT = timedelta(hours=72)


async def sweep(parts: Parts) -> int:
    """Settles what is due, tells what was not told; how many credits. Raises Unavailable."""
    settled = await settle_due(parts, now=parts.clock.now())
    await tell_left_over(parts)
    return settled


async def tell_left_over(parts: Parts) -> int:
    """Publishes the newest balances of members whose news may not have been told; how many rows."""
    async with transaction(parts.db) as conn:
        rows = await outbox.left_over(conn, before=parts.clock.wall() - UNTOLD_AFTER, limit=ROWS_PER_SWEEP)
        if not rows:
            return 0
        causes = {key: cause for _, cause, keys in rows for key in keys}
        balances = await read_balances(conn, list(causes))
        await parts.topics.publish(
            [change_of(*key, balance, causes[key]) for key, balance in balances.items()]
        )
        await outbox.forget(conn, [id_ for id_, _, _ in rows])
    return len(rows)


async def forget_old_answers(parts: Parts) -> int:
    """Drops the answers kept for Idempotency-Keys that have had their time; how many."""
    async with transaction(parts.db) as conn:
        return await idempotency.forget(conn, before=parts.clock.wall() - ANSWERS_KEPT)
