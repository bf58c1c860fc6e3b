"""The campaigns that concern a member, as the home screen shows them."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.document.texts import text_in


class MemberCampaign(Struct, frozen=True):
    """A campaign that is for the member now. `ends_at` is by its document, in the member's zone where it has
    none of its own.
    """

    id: str
    title: str
    ends_at: datetime


def views(campaigns: Iterable[PublishedCampaign], zone: str, language: str) -> list[MemberCampaign]:
    """The next to end first."""
    found = [
        MemberCampaign(each.id, text_in(each.campaign.title, language), each.campaign.ends_at(zone))
        for each in campaigns
    ]
    return sorted(found, key=lambda each: (each.ends_at, each.id))
