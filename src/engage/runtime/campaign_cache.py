"""Published campaigns and computed segments in memory, exact at every instant.

An action of an operator is in force from an instant that is far enough ahead for every process to know of it
by then (`engage.domain.campaigns.lifecycle`), and so is a version of a segment. What a refresh has read is
good for a while after it began. Who decides about a later activity refreshes first. So whatever process
decides, what was in force at the time of the activity decides.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.clock import Clock
from engage.domain.campaigns.composition import NO_RULES, terms_name, with_rules
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.index import CampaignIndex, PublishedCampaign
from engage.domain.campaigns.lifecycle import READ_WITHIN, Action, intervals
from engage.domain.campaigns.segments import SegmentConditions, SegmentIndex
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.terms import EarningTerms
from engage.domain.program.program import Program
from engage.runtime.database import one_statement
from engage.store.campaigns import actions as stored_actions
from engage.store.campaigns.versions import CampaignKey, StoredVersion, read_approved
from engage.store.segments import segments

NO_CAMPAIGNS = CampaignIndex(())

TERMS_KEPT = 1_000

# No number of actions and versions.
FORGOTTEN = -1, -1


class CampaignCache:
    """All approved versions of all campaigns, and the segments that are computed, by program."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known_until = datetime.min.replace(tzinfo=UTC)
        self._counts = 0, 0
        self._indexes: dict[str, CampaignIndex] = {}
        self._terms: dict[tuple[str, str], EarningTerms] = {}
        # Of many who find that too little is known, one reads it.
        self._refreshing = asyncio.Lock()

    @property
    def count(self) -> int:
        """A number that is another one whenever there are more actions on campaigns, or versions of
        segments.
        """
        return sum(self._counts)

    def of(self, program_id: str) -> CampaignIndex:
        """The campaigns of a program, as of the last refresh."""
        return self._indexes.get(program_id, NO_CAMPAIGNS)

    def named(self, program_id: str, credit: NewCredit) -> NewCredit:
        """The credit with the campaign whose definition pays it, if one does."""
        campaign = self.of(program_id).paying.get(credit.rule_id)
        if campaign is None or credit.campaign is not None:
            return credit
        return replace(credit, campaign=campaign)

    def forget(self) -> None:
        """Read everything anew before the next decision: the database may have lost some of it."""
        self._known_until = datetime.min.replace(tzinfo=UTC)
        self._counts = FORGOTTEN

    async def at(self, source: AsyncEngine | AsyncConnection, at: datetime) -> Mapping[str, CampaignIndex]:
        """The campaigns of all programs that have some, with everything that is in force at an instant, which
        is not ahead of the clock.

        Who has a connection gives it: a posting that waited for another one would hold its own meanwhile.
        Each statement of its transaction sees what is committed. Raises Unavailable.
        """
        if at >= self._known_until:
            if isinstance(source, AsyncEngine):
                async with one_statement(source) as conn:
                    return await self.at(conn, at)
            async with self._refreshing:
                if at >= self._known_until:
                    await self._refresh(source)
        return self._indexes

    async def versions(
        self, db: AsyncEngine, program_id: str, names: Sequence[tuple[str, int]]
    ) -> list[PublishedCampaign]:
        """The versions that decided something, which another process may have known before this one does.

        Raises Unavailable.
        """
        for _ in range(2):
            index = self.of(program_id)
            found = [each for name in names if (each := index.find(*name)) is not None]
            if len(found) == len(names):
                return found
            await self.refresh(db)
        raise AssertionError(f"{names} of {program_id} decided, and are not approved")

    def terms(
        self,
        program: Program,
        campaigns: Sequence[PublishedCampaign],
        unpaid: frozenset[str] = NO_RULES,
    ) -> EarningTerms:
        """The earning terms of a program version with the rules of campaigns, which are made once. `unpaid`
        are rules that do not pay for an order.
        """
        if not campaigns:
            return program.earning
        key = program.id, terms_name(program.version, campaigns, unpaid)
        found = self._terms.get(key)
        if found is None:
            if len(self._terms) >= TERMS_KEPT:
                self._terms.clear()
            found = self._terms[key] = with_rules(program.earning, campaigns, unpaid)
        return found

    async def refresh(self, db: AsyncEngine) -> None:
        """Raises Unavailable."""
        async with one_statement(db) as conn, self._refreshing:
            await self._refresh(conn)

    async def _refresh(self, conn: AsyncConnection) -> None:
        began = self._clock.now()
        counts = await stored_actions.count_changes(conn)
        if counts != self._counts:
            # Each action that is read is about a version that is read after it.
            by_campaign = await stored_actions.read_all(conn)
            approved = await read_approved(conn)
            self._indexes = indexes(by_campaign, approved, await segments.read_conditions(conn))
            self._counts = sum(map(len, by_campaign.values())), counts[1]
        self._known_until = began + READ_WITHIN


def indexes(
    actions: dict[CampaignKey, list[Action]],
    approved: Sequence[StoredVersion],
    conditions: Mapping[str, Sequence[SegmentConditions]],
) -> dict[str, CampaignIndex]:
    """The campaigns and computed segments of each program that has any."""
    found: dict[str, list[PublishedCampaign]] = {}
    for row in approved:
        times = tuple(each for each in intervals(actions.get(row.key, ())) if each.version == row.version)
        campaign = msgspec.convert(row.document, Campaign)
        found.setdefault(row.program_id, []).append(PublishedCampaign(campaign, row.version, times))
    return {
        program_id: CampaignIndex(found.get(program_id, ()), SegmentIndex(conditions.get(program_id, ())))
        for program_id in found.keys() | conditions.keys()
    }
