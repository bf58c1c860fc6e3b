"""The shop's reports of an order that come before the points which pay for it are captured."""

from collections.abc import Iterable

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import OrderKey
from engage.flows.orders.order_changes import OrderChanges, OrderUpdate, changes_of
from engage.runtime.services import Services
from engage.store.shop.orders import read_ended_orders


class ReportedOrders(Struct, frozen=True):
    """Orders that points cannot pay any more, because another member has paid them or nothing of them is
    left (`ended`), and orders of which a part was returned.
    """

    ended: frozenset[OrderKey] = frozenset()
    returned: dict[OrderKey, OrderChanges] = {}


async def read_reported_orders(
    services: Services, conn: AsyncConnection, keys: Iterable[OrderKey]
) -> ReportedOrders:
    """Read what decides how much of a capture stays. Raises Unavailable.

    The balances are locked, and the orders need not be: a return or a cancellation that is not visible yet
    waits for the balance, and then finds the captured hold.
    """
    wanted = list(keys)
    if not wanted:
        return ReportedOrders()
    ended, updates = set(), []
    for key, (owner, facts) in (await read_ended_orders(conn, wanted)).items():
        if owner not in (None, key[1]) or facts.is_back:
            ended.add(key)
        else:
            updates.append(OrderUpdate(key, facts, facts, again=True))
    returned = {order.update.key: order for order in await changes_of(services, updates)}
    return ReportedOrders(frozenset(ended), returned)
