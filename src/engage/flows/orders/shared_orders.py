"""Orders that both of two merged members know: the survivor's order is the fold of all facts of both.

Each account may know a part: one that the order was paid, the other one that it was delivered or
cancelled, and either may have spent points on it. When the rows of both are the survivor's, the facts are
joined, and the difference to the ledger is posted, as after any event.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.order_facts import OrderFacts
from engage.domain.keys import MemberKey, OrderKey, merge_reference, order_reference
from engage.flows.orders.order_changes import OrderUpdate
from engage.flows.orders.post_orders import post_differences
from engage.ledger.corrections import lock_credits
from engage.runtime.posting import Posting
from engage.runtime.services import Services
from engage.store.shop.orders import lock_orders, read_shared_orders, write_orders


class SharedOrder(Struct, frozen=True):
    """An order as the merged member knows it (`old`), and as the survivor does (`new`)."""

    old_key: OrderKey
    new_key: OrderKey
    old: OrderFacts
    new: OrderFacts

    @property
    def is_paid_twice(self) -> bool:
        return self.old.paid is not None and self.new.paid is not None

    @property
    def known(self) -> OrderFacts:
        """The facts that the credits follow from: those of the account that paid."""
        return self.new if self.new.paid is not None or self.old.paid is None else self.old

    @property
    def joined(self) -> OrderFacts:
        return self.known.joined_with(self.old if self.known is self.new else self.new)


async def lock_shared_orders(conn: AsyncConnection, key: MemberKey, into: str) -> list[SharedOrder]:
    """Lock the orders that a member and the survivor both know, and the survivor's credits for them.

    Both members are locked; credits and balances are not.
    """
    shared = [
        ((*key, order_id), (key[0], into, order_id)) for order_id in await read_shared_orders(conn, key, into)
    ]
    if not shared:
        return []
    facts = await lock_orders(conn, [order for pair in shared for order in pair])
    await lock_credits(conn, [(key[0], into, order_reference(new[2])) for _, new in shared])
    nothing = OrderFacts()
    return [SharedOrder(old, new, facts.get(old, nothing), facts.get(new, nothing)) for old, new in shared]


async def drop_second_payments(
    services: Services, posting: Posting, shared: Sequence[SharedOrder], *, now: datetime
) -> bool:
    """Take back what the merged member earned with orders that the survivor has paid too: one order earns
    once.

    No order is paid by two members any more (`order_owners`), but in an old installation it may have been.
    Comes before the credits move. Both balances are locked. Returns whether there was one.
    """
    updates = [
        OrderUpdate(
            order.old_key, order.old, replace(order.old, paid=None), reason=merge_reference(order.new_key[1])
        )
        for order in shared
        if order.is_paid_twice
    ]
    if updates:
        await post_differences(services, posting, updates, now=now)
    return bool(updates)


async def post_joined_orders(
    services: Services, posting: Posting, shared: Sequence[SharedOrder], *, now: datetime
) -> None:
    """Give the survivor's orders the facts of both, and post what follows. All rows are the survivor's by
    now.
    """
    facts = {order.new_key: order.joined for order in shared if order.joined != OrderFacts()}
    if not facts:
        return
    await write_orders(posting.conn, facts)
    updates = [
        OrderUpdate(order.new_key, order.known, order.joined, again=True)
        for order in shared
        if order.new_key in facts
    ]
    await post_differences(services, posting, updates, now=now)
