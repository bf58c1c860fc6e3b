"""The periodic work of workers: due work, changes still in the outbox, old stored responses."""

from datetime import timedelta

from engage.ledger.balances import read_balances
from engage.runtime.database import transaction
from engage.runtime.due_work import DueWork
from engage.runtime.services import Services
from engage.signals.changes import change_of
from engage.store import idempotency, outbox

UNPUBLISHED_AFTER = timedelta(seconds=5)
ROWS_PER_SWEEP = 500
RESPONSES_KEPT = timedelta(hours=72)


async def sweep(services: Services, work: DueWork) -> int:
    """Does what is due of one kind; how many. Raises Unavailable."""
    if work.together is not None:
        return await work.together(services)
    return await work.do(services, now=services.clock.now(), on_time=False)


async def publish_outbox(services: Services) -> int:
    """Publishes the newest balances of members with changes that are still in the outbox; how many rows.

    Raises Unavailable.
    """
    async with transaction(services.db) as conn:
        rows = await outbox.lock_unpublished(
            conn, before=services.clock.wall() - UNPUBLISHED_AFTER, limit=ROWS_PER_SWEEP
        )
        if not rows:
            return 0
        causes = {key: cause for _, cause, keys in rows for key in keys}
        balances = await read_balances(conn, list(causes))
        await services.topics.publish(
            [change_of(*key, balance, causes[key]) for key, balance in balances.items()]
        )
        await outbox.delete(conn, [id_ for id_, _, _ in rows])
    return len(rows)


async def delete_old_responses(services: Services) -> int:
    """Deletes responses that were stored long ago under an Idempotency-Key; how many. Raises Unavailable."""
    async with transaction(services.db) as conn:
        return await idempotency.delete_older(conn, than=RESPONSES_KEPT)
