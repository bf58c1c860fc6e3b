"""The campaigns that a dry run or a simulation is about: documents of the caller, and stored ones."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.explanation import Considered, pauses
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.campaigns.lifecycle import Action, Interval, intervals
from engage.domain.campaigns.simulated import as_published
from engage.domain.document.errors import DocumentError, Problem, shown
from engage.flows.campaigns.campaign import document_of
from engage.flows.campaigns.check import check_document
from engage.runtime.services import Services
from engage.store.campaigns import actions as stored_actions
from engage.store.campaigns.versions import StoredVersion, read_of_program

# The number of a version that is not stored: a document of the caller.
NOT_STORED = 0


class CampaignLookedAt(Struct, frozen=True):
    """The versions of a campaign that are or were in force, in their order, and when it was paused. One that
    nobody has approved yet is looked at as if it were.
    """

    versions: Sequence[PublishedCampaign]
    pauses: Sequence[Interval] = ()

    @property
    def newest(self) -> PublishedCampaign:
        return self.versions[-1]

    def at(self, at: datetime, zone: str) -> Considered:
        """The version in force at an instant for members of a zone, or else the newest."""
        found = (version for version in self.versions if version.is_in_force(at, zone))
        return Considered(next(found, self.newest), self.pauses)


async def check_documents(
    services: Services, program_id: str, documents: Sequence[tuple[str, Campaign]]
) -> list[CampaignLookedAt]:
    """Documents, each with the path of its field, as if they were approved. Raises DocumentError;
    Unavailable.
    """
    problems: list[Problem] = []
    ids: set[str] = set()
    for path, document in documents:
        if document.program != program_id:
            problems.append(Problem(f"{path}.program", shown(program_id), shown(document.program)))
            continue
        if document.id in ids:
            problems.append(Problem(f"{path}.id", "another id than those before", shown(document.id)))
        ids.add(document.id)
        try:
            await check_document(services, document)
        except DocumentError as error:
            problems += [Problem(f"{path}.{each.path}", each.expected, each.found) for each in error.problems]
    if problems:
        raise DocumentError("", problems)
    return [CampaignLookedAt([as_published(document, NOT_STORED)]) for _, document in documents]


async def read_campaigns(
    conn: AsyncConnection, program_id: str, ids: Sequence[str]
) -> list[CampaignLookedAt]:
    """Stored campaigns of a program, in this order. Raises DocumentError for unknown ids."""
    stored = await _read(conn, program_id, ids)
    unknown = [
        Problem(f"campaign_ids[{n}]", f"the id of a campaign of {program_id}", shown(id_))
        for n, id_ in enumerate(ids)
        if id_ not in stored
    ]
    if unknown:
        raise DocumentError("", unknown)
    return [stored[id_] for id_ in dict.fromkeys(ids)]


async def read_published(
    conn: AsyncConnection, program_id: str, *, at: datetime, zone: str
) -> list[CampaignLookedAt]:
    """The approved campaigns of a program whose time it is, for members of a zone."""
    stored = await _read(conn, program_id, None)
    return [each for each in stored.values() if _is_time_of(each, at, zone)]


def _is_time_of(looked_at: CampaignLookedAt, at: datetime, zone: str) -> bool:
    return any(
        version.intervals and version.campaign.begins_at(zone) <= at < version.campaign.ends_at(zone)
        for version in looked_at.versions
    )


async def _read(
    conn: AsyncConnection, program_id: str, ids: Sequence[str] | None
) -> dict[str, CampaignLookedAt]:
    by_campaign: dict[str, list[StoredVersion]] = {}
    for version in await read_of_program(conn, program_id, ids):
        by_campaign.setdefault(version.campaign_id, []).append(version)
    actions = await stored_actions.read_of_program(conn, program_id, ids)
    return {
        id_: _looked_at(versions, actions.get(id_, ()))
        for id_, versions in by_campaign.items()
        if ids is not None or any(version.approved for version in versions)
    }


def _looked_at(versions: Sequence[StoredVersion], actions: Sequence[Action]) -> CampaignLookedAt:
    approved = [version for version in versions if version.approved]
    if not approved:
        newest = versions[-1]
        return CampaignLookedAt([as_published(document_of(newest), newest.version)])
    times = intervals(actions)
    published = [
        PublishedCampaign(
            document_of(version),
            version.version,
            tuple(each for each in times if each.version == version.version),
        )
        for version in approved
    ]
    return CampaignLookedAt(published, pauses(actions))
