"""Captured points of orders of which something was returned before."""

from collections.abc import Iterable

from engage.domain.keys import OrderKey
from engage.flows.orders.order_changes import OrderUpdate
from engage.flows.orders.post_orders import post_differences
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.shop.orders import lock_orders


async def follow_captures(services: Services, keys: Iterable[OrderKey]) -> None:
    """Gives back points that were captured for orders of which something had already been returned.

    To be called after the commit of a capture; repeating it is safe. Raises Unavailable.
    """
    async with open_posting(services, cause="returned") as posting:
        found = await lock_orders(posting.conn, keys)
        updates = [
            OrderUpdate(key, facts, facts, again=True)
            for key, facts in found.items()
            if facts.returns or facts.cancelled_at is not None
        ]
        if updates:
            await post_differences(services, posting, updates, now=services.clock.now())
