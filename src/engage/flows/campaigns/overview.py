"""The list of campaigns: one line for each, with its state, its time, and what it has granted."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct, field

from engage.domain.campaigns.budget import Left
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import State
from engage.domain.campaigns.zones import zones_of
from engage.domain.definitions.definition import Moment
from engage.domain.document.texts import Texts
from engage.flows.campaigns.campaign import StoredCampaign, WantedState, document_of
from engage.flows.reports.reader import reading
from engage.runtime.database import snapshot
from engage.runtime.services import Services
from engage.store.campaigns.actions import read_of_programs
from engage.store.campaigns.budgets import read_left
from engage.store.campaigns.report import read_points
from engage.store.campaigns.versions import CampaignKey, StoredVersion, read_outlines

TIMEOUT_S: Final = 20.0

# Where a campaign stands in the list, the latest first: its beginning in negative seconds, program and id.
Place = tuple[int, str, str]


class CampaignOutline(Struct, frozen=True, kw_only=True):
    """A campaign by the version that was approved last, or without one by its newest.

    `newest_version` and `newest_state` are those of the newest. `budget_left` is of points; null without such
    a limit.
    """

    id: str
    program: str
    title: Texts
    state: State
    version: int
    from_: Moment = field(name="from")
    until: Moment
    zone: str
    newest_version: int
    newest_state: State
    budget_left: int | None


class CampaignItem(CampaignOutline, frozen=True, kw_only=True):
    """A campaign by the version that was approved last, or without one by its newest.

    `newest_version` and `newest_state` are those of the newest. `points_granted`: by all versions so far,
    without what was taken back. `budget_left` is of points; null without such a limit.
    """

    points_granted: int


class Wanted(Struct, frozen=True, kw_only=True):
    """The campaigns that are asked for: with a version in this state that was approved last or is the newest,
    and with some time after `start` and before `end`: instants, or local times as in the documents.
    `text` is a part of the id or of a title.
    """

    state: WantedState | None = None
    start: datetime | None = None
    end: datetime | None = None
    text: str = ""

    def names(self, campaign: Campaign) -> bool:
        """Return whether the text that is asked for is a part of a campaign's names."""
        names = (campaign.id, *campaign.title.values())
        return not self.text or any(self.text.casefold() in name.casefold() for name in names)


class _Found(Struct, frozen=True):
    campaign: StoredCampaign
    shown: StoredVersion
    place: Place


async def list_campaigns(
    services: Services, programs: Sequence[str], wanted: Wanted, *, after: Place | None, limit: int
) -> list[tuple[Place, CampaignItem]]:
    """The campaigns of these programs that come after a place, the latest first. Raises Unavailable."""
    found = await list_outlines(services, programs, wanted, after=after, limit=limit)
    points = await read_granted(services, [each for _, each in found])
    return [
        (
            place,
            CampaignItem(**msgspec.structs.asdict(each), points_granted=points[each.program, each.id]),
        )
        for place, each in found
    ]


async def list_outlines(
    services: Services, programs: Sequence[str], wanted: Wanted, *, after: Place | None, limit: int
) -> list[tuple[Place, CampaignOutline]]:
    """The same without the points that they have granted, which is quick however many there are.

    Raises Unavailable.
    """
    now = services.clock.now()
    async with snapshot(services.db) as conn:
        outlines = await read_outlines(conn, programs)
        actions = await read_of_programs(conn, programs)
        stored = [
            StoredCampaign(own, actions[key], services.programs.versions(key[0]))
            for key, own in _by_campaign(outlines).items()
        ]
        found = [one for one in _found(stored, wanted, now) if after is None or one.place > after]
        page = sorted(found, key=lambda one: one.place)[:limit]
        left = await read_left(conn, [one.shown.key for one in page])
    return [(one.place, _outline(one, now, left.get(one.shown.key))) for one in page]


async def read_granted(services: Services, campaigns: Iterable[CampaignOutline]) -> dict[CampaignKey, int]:
    """The points that campaigns have granted. Reads all of their credits. Raises Unavailable."""
    keys = [(each.program, each.id) for each in campaigns]
    async with reading(services.settings, TIMEOUT_S) as conn:
        points = await read_points(conn, keys)
    return {key: points.get(key, 0) for key in keys}


def _by_campaign(outlines: Iterable[StoredVersion]) -> dict[CampaignKey, list[StoredVersion]]:
    found: dict[CampaignKey, list[StoredVersion]] = {}
    for version in outlines:
        found.setdefault(version.key, []).append(version)
    return found


def _found(stored: Iterable[StoredCampaign], wanted: Wanted, now: datetime) -> Iterator[_Found]:
    for campaign in stored:
        versions = [campaign.live or campaign.newest]
        if wanted.state is not None:
            versions = [
                version
                for version in (*versions, campaign.newest)
                if campaign.has_state(version, wanted.state, now)
            ]
        for shown in versions[:1]:
            document = document_of(shown)
            if not wanted.names(document):
                continue
            zones = zones_of(document, campaign.programs)
            begins = document.first_instant(zones)
            if _is_within(document, zones, wanted):
                yield _Found(campaign, shown, (-int(begins.timestamp()), *shown.key))


def _is_within(document: Campaign, zones: Sequence[str], wanted: Wanted) -> bool:
    begins, ends = document.first_instant(zones), document.last_instant(zones)
    if wanted.end is not None and wanted.end <= (begins if wanted.end.tzinfo else document.from_):
        return False
    return wanted.start is None or wanted.start < (ends if wanted.start.tzinfo else document.until)


def _outline(found: _Found, now: datetime, left: Left | None) -> CampaignOutline:
    document, newest = document_of(found.shown), found.campaign.newest
    return CampaignOutline(
        id=document.id,
        program=document.program,
        title=document.title,
        state=found.campaign.state(found.shown, now),
        version=found.shown.version,
        from_=document.from_,
        until=document.until,
        zone=document.zone,
        newest_version=newest.version,
        newest_state=found.campaign.state(newest, now),
        budget_left=None if left is None else left.points,
    )
