"""The courses of a program's challenges in a country, in memory."""

from collections.abc import Collection, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from msgspec import Struct

from engage.domain.calendar import start_of_day
from engage.domain.campaigns.audience import may_be_for, needs
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.challenges.courses import Course, Edition
from engage.domain.challenges.definition import Challenge
from engage.domain.challenges.interest import Interest, joined
from engage.domain.challenges.kind import CHALLENGE
from engage.domain.program.program import Program
from engage.runtime.definition_cache import DefinitionCache, State, Versioned, number_of
from engage.runtime.facts import facts_of
from engage.runtime.services import Services
from engage.store.members.members import Member


class Courses(Struct, frozen=True):
    """The courses of a country's challenges, and the facts that any of them counts. `campaigns` are those
    that bring a challenge, by its id: it is for their audience. `asking` are those of them whose audience
    asks for facts of members.
    """

    all: tuple[Course, ...]
    interest: Interest
    campaigns: Mapping[str, PublishedCampaign] = {}
    asking: Mapping[str, PublishedCampaign] = {}

    def of(self, member: Member, zone: str) -> tuple[Course, ...]:
        """The courses that are for a member of the country, unless facts say otherwise."""
        if not self.campaigns:
            return self.all
        facts = facts_of(member, zone)
        outside = {id_ for id_, each in self.campaigns.items() if not may_be_for(each.campaign, facts)}
        return tuple(course for course in self.all if course.newest.id not in outside)

    def offered(self, member: Member, zone: str, campaigns: Collection[str]) -> list[Course]:
        """The courses that are for a member, for whom these campaigns are."""
        return [
            course
            for course in self.of(member, zone)
            if (asking := self.asking.get(course.newest.id)) is None or asking.id in campaigns
        ]


NONE: Final = Courses((), Interest(frozenset(), False))


class _Known(Struct):
    """Courses of the definitions that were known at `state`, by program and country."""

    state: State
    by_country: dict[tuple[str, str], Courses]


# Of each cache of definitions: a process has one, a test may have several.
_known: Final[WeakKeyDictionary[DefinitionCache, _Known]] = WeakKeyDictionary()


def courses_of(services: Services, program_id: str, country: str) -> Courses:
    """The courses of the program's challenges in a country, kept until there is another definition."""
    definitions = services.definitions
    known = _known.get(definitions)
    if known is None or known.state != definitions.state:
        known = _known[definitions] = _Known(definitions.state, {})
    key = (program_id, country)
    if key not in known.by_country:
        known.by_country[key] = _read(services, program_id, country)
    return known.by_country[key]


def _read(services: Services, program_id: str, country: str) -> Courses:
    editions = _of_documents(services.programs.versions(program_id), country)
    for each in services.definitions.every(CHALLENGE, program_id):
        if number_of(each) is not None:
            edition = Edition(each.since, each.version, each.definition)
            editions.setdefault(each.id, []).append(edition)
    of_campaigns = [each for each in services.definitions.every(CHALLENGE, program_id) if each.campaign]
    for each in of_campaigns:
        if of_campaign := _of_campaign(each, country):
            editions.setdefault(each.id, []).extend(of_campaign)
    if not editions:
        return NONE
    courses = tuple(Course(of_one) for of_one in editions.values())
    campaigns = {each.id: each.campaign for each in of_campaigns if each.campaign is not None}
    asking = {id_: each for id_, each in campaigns.items() if needs(each.campaign.audience)}
    return Courses(courses, joined(course.interest for course in courses), campaigns, asking)


def _of_campaign(version: Versioned[Challenge], country: str) -> list[Edition]:
    """The edition of a challenge that a campaign brings, from its approval until it is ended or replaced.
    What began goes on while the campaign is paused.
    """
    campaign = version.campaign
    if campaign is None or not campaign.intervals or not campaign.is_for(country):
        return []
    editions = [Edition(campaign.intervals[0].start, version.version, version.definition)]
    end = campaign.intervals[-1].end
    return editions if end is None else [*editions, Edition(end, version.version, None)]


def _of_documents(versions: list[Program], country: str) -> dict[str, list[Edition]]:
    """The editions of the challenges of documents. One that a later version leaves out ends with it."""
    editions: dict[str, list[Edition]] = {}
    here = [version for version in versions if country in version.countries]
    for version in sorted(here, key=lambda version: version.in_force_from):
        since = start_of_day(version.in_force_from, version.countries[country].zone)
        challenges = {challenge.id: challenge for challenge in version.challenges}
        for id_ in editions.keys() | challenges.keys():
            edition = Edition(since, version.version, challenges.get(id_))
            editions.setdefault(id_, []).append(edition)
    return editions
