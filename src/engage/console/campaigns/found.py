"""The campaign of a page: its id in the path, its program in the query."""

from datetime import datetime
from typing import Final

from msgspec import Struct

from engage.console.context import HtmlRequest, Visitor, asked
from engage.domain.campaigns.lifecycle import WITH_LIVE, WITH_NEWEST
from engage.domain.operators.roles import Permission
from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.read import CampaignView, SeveralPrograms, find_campaign, show_campaign
from engage.store.campaigns.versions import CampaignKey

# Actions that say why: whoever reads the audit log wants to know.
WITH_REASON: Final = frozenset({"rejected", "paused", "ended"})


class Page(Struct, frozen=True):
    """A campaign, and what the visitor may do with it now."""

    campaign: CampaignView
    actions: list[str]
    is_author: bool

    @property
    def path(self) -> str:
        return path_of((self.campaign.program, self.campaign.id))


def path_of(key: CampaignKey, section: str = "") -> str:
    """The address of a page of a campaign, with a query that more can be added to."""
    return f"/console/campaigns/{key[1]}{section}?program={key[0]}"


async def find(request: HtmlRequest, visitor: Visitor, campaign_id: str) -> CampaignKey:
    """Raises Refusal not_found, also for a campaign of a program that the operator does not work on."""
    program = asked(request, "program")
    programs = [known for known in visitor.programs if program in ("", known)]
    try:
        return await find_campaign(visitor.services, programs, campaign_id)
    except SeveralPrograms:
        raise Refusal(Code.NOT_FOUND) from None


async def find_page(request: HtmlRequest, visitor: Visitor, campaign_id: str) -> Page:
    """Raises as `find`."""
    return await read_page(visitor, await find(request, visitor, campaign_id))


async def read_page(visitor: Visitor, key: CampaignKey) -> Page:
    """Raises Refusal not_found; Unavailable."""
    campaign = await show_campaign(visitor.services, key, None)
    newest = campaign.versions[-1]
    is_author = visitor.identity.name in newest.authors
    return Page(campaign, _actions(campaign, visitor), is_author)


def _actions(campaign: CampaignView, visitor: Visitor) -> list[str]:
    """The actions that are possible in the campaign's state, and that the visitor may do."""
    newest = campaign.versions[-1].state
    live = newest if campaign.live is None else campaign.live.state
    possible = [kind for kind, states in WITH_NEWEST.items() if newest in states]
    possible += [kind for kind, states in WITH_LIVE.items() if live in states]
    usual_first = sorted(possible, key=lambda kind: kind in WITH_REASON)
    return [kind for kind in usual_first if visitor.may(needed_for(kind))]


def needed_for(action: str) -> Permission:
    return Permission.APPROVE if action in ("approved", "rejected") else Permission.WRITE


def local_moment(text: str) -> datetime | None:
    """The local date-time that was typed; None for any other text."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is None else None
