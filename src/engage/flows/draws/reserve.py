"""Reserve the prizes of a campaign's draw: all of them are taken from its budget before anybody enters.

Winners follow from the list of entries and from the beacon, so nothing may depend on what is left of a budget
when they are drawn. What nobody wins is given back.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.definition import Campaign
from engage.domain.draws.kind import DRAW
from engage.domain.keys import DrawKey
from engage.flows.draws.terms import OfferedDraw
from engage.runtime.budgets import take_all
from engage.runtime.database import one_statement, transaction
from engage.runtime.services import Services
from engage.store.campaigns.budgets import Taking, give_back, has_limits
from engage.store.draws import draws as store
from engage.store.draws.draws import DrawRow


async def begin_reserved(
    services: Services, offered: Mapping[DrawKey, OfferedDraw], *, now: datetime
) -> dict[DrawKey, str]:
    """Begin those of these draws that a campaign with a budget pays for; the campaigns of those that it
    cannot pay. Raises Unavailable.
    """
    paying = {
        key: payer
        for key in offered
        if (payer := services.campaigns.of(key[0]).payer(DRAW.rule_id(key[1]))) and has_limits(payer.budget)
    }
    if not paying:
        return {}
    async with one_statement(services.db) as conn:
        begun = await store.read_begun(conn, paying)
    exhausted = {}
    for key in sorted(paying.keys() - begun):
        # A transaction for each: nobody waits for a draw while holding the budget of another one.
        async with transaction(services.db) as conn:
            if not await _begin(conn, offered[key].begin(key), paying[key], now=now):
                exhausted[key] = paying[key].id
    return exhausted


async def give_back_unwon(conn: AsyncConnection, row: DrawRow, *, winners: int, now: datetime) -> None:
    """Give back the prizes that nobody wins."""
    if row.reserved:
        await give_prizes_back(conn, row, row.prizes - winners, now=now)


async def give_prizes_back(conn: AsyncConnection, row: DrawRow, prizes: int, *, now: datetime) -> None:
    """Give back so many prizes of a draw that has reserved them."""
    campaign_id = row.version.rpartition("#")[0]
    await give_back(conn, [Taking(row.program_id, campaign_id, prizes * row.points, prizes)], now=now)


async def _begin(conn: AsyncConnection, row: DrawRow, campaign: Campaign, *, now: datetime) -> bool:
    """Begin a draw with its prizes reserved, unless somebody else has; False if they cannot be paid."""
    reserved = replace(row, reserved=True)
    points = row.prizes * row.points
    if not await take_all(conn, campaign, points=points, count=row.prizes, now=now):
        return row.key in await store.read_begun(conn, [row.key])
    if not await store.begin_draws(conn, [reserved]):
        await give_back_unwon(conn, reserved, winners=0, now=now)
    return True
