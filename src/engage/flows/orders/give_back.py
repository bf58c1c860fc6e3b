"""Points that paid for an order and go back to the member."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from engage.domain.accounts.lots import Take
from engage.flows.orders.order_changes import OrderChanges
from engage.ledger.accounts import Accounts
from engage.ledger.holds import Hold


def given_back(accounts: Accounts, order: OrderChanges, hold: Hold, *, now: datetime) -> Hold:
    """Releases an open hold; reinstates points of a captured one. Returns the hold as it is then."""
    account, takes = accounts.by_key[hold.key], accounts.takes.get(hold.id, [])
    if hold.state == "open":
        if takes:
            account.release(takes, hold.id, now)
        late = hold.expires_at is not None and hold.expires_at <= now
        return replace(hold, state="expired" if late else "released")
    due_back = order.due_back(hold)
    account.reinstate(
        _newest(takes, due_back - hold.reinstated),
        hold.id,
        now,
        grace_until=now + order.grace,
        reference=order.update.reference,
    )
    return replace(hold, reinstated=due_back)


def _newest(takes: Sequence[Take], points: int) -> list[Take]:
    """Return this many points of a hold, from the newest lots: the oldest points stay spent."""
    newest = []
    for take in reversed(takes):
        part = min(points, take.points)
        if part > 0:
            newest.append(Take(take.credit_id, part))
            points -= part
    assert not points
    return newest
