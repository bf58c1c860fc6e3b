"""The services of a process: its settings, its clock, open connections and caches."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from msgspec import Struct
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.beacons.port import Beacon
from engage.clock import Clock
from engage.connections.cluster import open_servers
from engage.connections.primary import Primary
from engage.domain.refusals import Unavailable
from engage.gate.client import Gate, open_gate
from engage.live_settings import SECRETS_LOOP, LiveSettings
from engage.metrics.catalogue import Metrics
from engage.payouts.port import PayoutProvider
from engage.runtime.background import Loops, running
from engage.runtime.beacon import open_beacon
from engage.runtime.campaign_cache import CampaignCache
from engage.runtime.database import COMMAND_TIMEOUT_S, check_schema, open_database
from engage.runtime.database_clock import ClockFollower
from engage.runtime.definition_cache import DefinitionCache
from engage.runtime.failover import FAILOVER_S, Failover
from engage.runtime.member_cache import MemberCache
from engage.runtime.origins import Origins
from engage.runtime.payout_provider import open_provider
from engage.runtime.post_commit import PostCommit
from engage.runtime.program_cache import ProgramCache
from engage.runtime.rate_limits import RateLimits
from engage.runtime.shared_decisions import SharedDecisions
from engage.settings import Settings
from engage.signals.doorbell import Doorbell, open_queue
from engage.signals.topics import Topics

# In force within two seconds, with the time that a refresh takes.
DEFINITIONS_S = 1.0

# Within the time for which a refresh of campaigns is good, so that hardly any request has to wait for one.
CAMPAIGNS_S = 0.2


class Services(Struct, frozen=True):
    """The first argument of every flow. `payouts` is None in an installation without a payout provider."""

    live: LiveSettings
    clock: Clock
    clock_follower: ClockFollower
    db: AsyncEngine
    primary: Primary
    gate: Gate
    topics: Topics
    doorbell: Doorbell
    programs: ProgramCache
    definitions: DefinitionCache
    campaigns: CampaignCache
    members: MemberCache
    shared_decisions: SharedDecisions
    post_commit: PostCommit
    payouts: PayoutProvider | None
    beacon: Beacon
    loops: Loops
    origins: Origins
    metrics: Metrics
    limits: RateLimits

    @property
    def settings(self) -> Settings:
        """The settings that are in force now."""
        return self.live.now

    async def follow_clock(self) -> None:
        """Set the clock by the database's. Raises Unavailable."""
        await self.clock_follower.refresh(self.db)


@asynccontextmanager
async def open_services(
    settings: Settings, clock: Clock | None = None, *, command_timeout_s: float | None = COMMAND_TIMEOUT_S
) -> AsyncIterator[Services]:
    """Opens the services, and keeps their caches fresh. Servers that are away may come back later.

    `command_timeout_s` is that of `open_database`. The program cache is empty until its first refresh: a
    process that decides calls `programs.refresh` before it serves. Raises SettingsError.
    """
    live = LiveSettings(settings)
    origins = Origins(live)
    clock = clock or Clock()
    follower = ClockFollower(clock, settings)
    async with AsyncExitStack() as stack:
        primary = Primary()
        db = open_database(live.reader("database_url"), command_timeout_s=command_timeout_s, primary=primary)
        stack.push_async_callback(db.dispose)
        # Later, by the loop below, where the database or its tables are not there yet.
        with suppress(Unavailable, DBAPIError):
            await follower.refresh(db)
        gate = open_gate(live.reader("state_url"), primary)
        stack.push_async_callback(gate.close)
        topics = Topics(open_servers(live.reader("topics_url")), clock)
        stack.push_async_callback(topics.close)
        doorbell = Doorbell(open_queue(live.reader("queue_url")), clock)
        stack.push_async_callback(doorbell.close)
        payouts = open_provider(live)
        if payouts is not None:
            stack.push_async_callback(payouts.close)
        beacon = open_beacon(settings)
        stack.push_async_callback(beacon.close)
        post_commit = PostCommit(db, gate, topics, doorbell)
        stack.push_async_callback(post_commit.drain)
        programs, members, loops, metrics = ProgramCache(clock), MemberCache(), Loops(), Metrics()
        campaigns = CampaignCache(clock)
        definitions = DefinitionCache(programs, campaigns)
        shared_decisions = SharedDecisions(db)
        failover = Failover(
            db,
            primary,
            gate,
            refreshed=(programs, definitions, campaigns, members),
            forgetting=(shared_decisions,),
        )
        await stack.enter_async_context(
            running(
                loops.repeat("clock", lambda: follower.refresh(db)),
                loops.repeat("programs", lambda: programs.refresh(db)),
                loops.repeat("definitions", lambda: definitions.refresh(db), every_s=DEFINITIONS_S),
                loops.repeat("campaigns", lambda: campaigns.refresh(db), every_s=CAMPAIGNS_S),
                loops.repeat("members", lambda: members.refresh(db)),
                loops.repeat("schema", lambda: check_schema(db)),
                loops.repeat(SECRETS_LOOP, live.refresh),
                loops.repeat("failover", failover.follow, every_s=FAILOVER_S),
            )
        )
        yield Services(
            live,
            clock,
            follower,
            db,
            primary,
            gate,
            topics,
            doorbell,
            programs,
            definitions,
            campaigns,
            members,
            shared_decisions,
            post_commit,
            payouts,
            beacon,
            loops,
            origins,
            metrics,
            RateLimits(gate.limits, settings),
        )
