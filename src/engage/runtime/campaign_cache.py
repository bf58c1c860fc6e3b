"""Published campaigns in memory, exact at every instant.

An action of an operator is in force from an instant that is far enough ahead for every process to know of it
by then (`engage.domain.campaigns.lifecycle`). What a refresh has read is good for a while after it began. Who
decides about a later activity refreshes first. So whatever process decides, what was in force at the time of
the activity decides.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.clock import Clock
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.index import CampaignIndex, PublishedCampaign
from engage.domain.campaigns.lifecycle import READ_WITHIN, Action, intervals
from engage.runtime.database import one_statement, transaction
from engage.store.campaigns import actions as stored_actions
from engage.store.campaigns.versions import CampaignKey, StoredVersion, read_approved

NO_CAMPAIGNS = CampaignIndex(())


class CampaignCache:
    """All approved versions of all campaigns, by program."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known_until = datetime.min.replace(tzinfo=UTC)
        self._count = 0
        self._indexes: dict[str, CampaignIndex] = {}

    @property
    def count(self) -> int:
        """A number that is another one whenever there are more actions on campaigns."""
        return self._count

    def of(self, program_id: str) -> CampaignIndex:
        """The campaigns of a program, as of the last refresh."""
        return self._indexes.get(program_id, NO_CAMPAIGNS)

    async def at(self, db: AsyncEngine, at: datetime) -> None:
        """Make sure that everything is known that is in force at an instant, which is not ahead of the clock.

        Raises Unavailable.
        """
        if at >= self._known_until:
            await self.refresh(db)

    async def refresh(self, db: AsyncEngine) -> None:
        """Raises Unavailable."""
        began = self._clock.now()
        async with one_statement(db) as conn:
            known = await stored_actions.count(conn)
        if known != self._count:
            async with transaction(db) as conn:
                by_campaign = await stored_actions.read_all(conn)
                approved = await read_approved(conn)
            self._indexes = indexes(by_campaign, approved)
            self._count = sum(map(len, by_campaign.values()))
        self._known_until = began + READ_WITHIN


def indexes(
    actions: dict[CampaignKey, list[Action]], approved: Sequence[StoredVersion]
) -> dict[str, CampaignIndex]:
    """The campaigns of each program."""
    found: dict[str, list[PublishedCampaign]] = {}
    for row in approved:
        times = tuple(each for each in intervals(actions.get(row.key, ())) if each.version == row.version)
        campaign = msgspec.convert(row.document, Campaign)
        found.setdefault(row.program_id, []).append(PublishedCampaign(campaign, row.version, times))
    return {program_id: CampaignIndex(published) for program_id, published in found.items()}
