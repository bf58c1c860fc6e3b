"""What has fallen due becomes active, never early, by any number of workers at once."""

from datetime import datetime

from engage.flows.ids import new_id
from engage.flows.parts import Parts
from engage.flows.transaction import transaction
from engage.ledger.settle import CREDITS_PER_BATCH, settle_batch


async def settle_once(parts: Parts, *, now: datetime) -> int:
    """Activates one batch of what is due at `now`; how many. Raises Unavailable."""
    outbox_id = new_id()
    async with transaction(parts.db) as conn:
        settled, changes = await settle_batch(conn, now=now, wall=parts.clock.wall(), outbox_id=outbox_id)
    if changes:
        parts.after.add(changes=changes, cause="active", outbox_id=outbox_id)
    return settled


async def settle_due(parts: Parts, *, now: datetime) -> int:
    """Activates all that is due at `now` and that no other worker holds; how many. Raises Unavailable."""
    total = 0
    while True:
        settled = await settle_once(parts, now=now)
        total += settled
        if settled < CREDITS_PER_BATCH:
            return total
