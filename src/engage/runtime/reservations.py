"""Points that definitions of campaigns promise: taken from budgets before credits and balances are
locked, and before it is known what is won.

What is won is then accepted as reserved (`Posting.accept`), and the rest is given back.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.budget import Wanted
from engage.domain.keys import MemberKey
from engage.runtime import budgets
from engage.runtime.campaign_cache import NO_CAMPAIGNS
from engage.runtime.services import Services
from engage.store.campaigns import budgets as store
from engage.store.campaigns.budgets import Taking


class Promise(Struct, frozen=True):
    """Points that a definition pays to a member, at the most. `rule_id` is that of its credits."""

    member: MemberKey
    rule_id: str
    points: int


class Reserved(Struct, frozen=True):
    """The answer to a promise: the `campaign` that pays it from a budget, if any does, and the points that
    are taken for it; none of them where the budget cannot pay.
    """

    campaign: str | None
    points: int

    @property
    def is_exhausted(self) -> bool:
        return self.campaign is not None and not self.points


NOT_LIMITED = Reserved(None, 0)


async def reserve(
    services: Services, conn: AsyncConnection, promises: Sequence[Promise], *, now: datetime
) -> list[Reserved]:
    """Take the points of promises from budgets, each as a whole. Raises Unavailable."""
    indexes = await services.campaigns.at(conn, now)
    payers = [indexes.get(each.member[0], NO_CAMPAIGNS).payer(each.rule_id) for each in promises]
    wanted = [
        None
        if campaign is None or not each.points
        else Wanted(campaign, each.member, each.points, whole=True)
        for each, campaign in zip(promises, payers, strict=True)
    ]
    granted = iter(await budgets.take(conn, [each for each in wanted if each is not None], now=now))
    return [NOT_LIMITED if each is None else Reserved(each.campaign.id, next(granted)) for each in wanted]


async def give_back_rest(
    conn: AsyncConnection, paid: Iterable[tuple[MemberKey, Reserved, int]], *, now: datetime
) -> None:
    """Give back the reserved points that were not paid: of each member, with what was."""
    await store.give_back(
        conn,
        [
            Taking(member[0], reserved.campaign, reserved.points - points, int(not points))
            for member, reserved, points in paid
            if reserved.campaign is not None and reserved.points
        ],
        now=now,
    )
