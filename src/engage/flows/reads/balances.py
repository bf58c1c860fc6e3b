"""Balances for the feed's snapshots."""

from collections.abc import Sequence

from engage.domain.accounts.balance import Balance
from engage.ledger import balances
from engage.runtime.database import transaction
from engage.runtime.services import Services


async def read_balances(
    services: Services, members: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Balance]:
    """Read balances by (program, member), without unknown and closed members. Raises Unavailable."""
    async with transaction(services.db) as conn:
        return await balances.read_balances(conn, members, closed=False)
