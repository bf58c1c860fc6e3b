"""Validate the document of a campaign beside its program."""

from datetime import datetime

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.validation import problems
from engage.domain.campaigns.zones import zones_of
from engage.domain.document.errors import DocumentError, Problem, nearest, shown
from engage.runtime.services import Services


def check_document(services: Services, campaign: Campaign) -> None:
    """Raises DocumentError, also for a program that there is not."""
    known = services.programs.ids()
    if campaign.program not in known:
        found = shown(campaign.program) + nearest(campaign.program, known)
        raise DocumentError("", [Problem("program", "the id of a program", found)])
    found_problems = problems(campaign, services.programs.versions(campaign.program))
    if found_problems:
        raise DocumentError("", found_problems)


def check_is_to_come(services: Services, campaign: Campaign, now: datetime) -> None:
    """Raises DocumentError for a campaign whose time is over."""
    zones = zones_of(campaign, services.programs.versions(campaign.program))
    if campaign.last_instant(zones) <= now:
        expected = "a time to come: this campaign would never be in force"
        raise DocumentError("", [Problem("until", expected, shown(campaign.until))])
