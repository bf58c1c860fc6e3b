"""A trial: a draft in a window of the past, and the campaigns that were in force there."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.backtests.activities import StoredCredit
from engage.domain.campaigns.audience import all_needs
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.index import CampaignIndex, Candidates, PublishedCampaign
from engage.domain.campaigns.lifecycle import Interval

# The version of a draft, which has no number.
DRAFT = 0

Times = Literal["document", "window"]


class Window(Struct, frozen=True):
    """The activities of a backtest: those of [start, end) that were accepted by `known`."""

    start: datetime
    end: datetime
    known: datetime


def times_of(draft: Campaign, window: Window, zones: Sequence[str]) -> Times:
    """The times at which a draft is tried: its own, or where it has none in the window, all of the window.

    `zones` are those of the countries of its program.
    """
    overlaps = draft.first_instant(zones) < window.end and draft.last_instant(zones) > window.start
    return "document" if overlaps else "window"


def as_tried(draft: Campaign, window: Window, times: Times) -> PublishedCampaign:
    """A draft as if it had been approved before the window."""
    if times == "window":
        begin, end = (at.astimezone(UTC).replace(tzinfo=None) for at in (window.start, window.end))
        draft = replace(draft, from_=begin, until=end, zone="UTC")
    return PublishedCampaign(draft, DRAFT, (Interval(DRAFT, window.start, window.end),))


class Trial:
    """The campaigns `before`, as they were in force, and `after`, with the draft."""

    def __init__(self, draft: PublishedCampaign, published: Iterable[PublishedCampaign]) -> None:
        self.draft = draft
        known = list(published)
        self.before = CampaignIndex(known)
        self.after = CampaignIndex([draft, *(each for each in known if each.id != draft.id)])
        self.replaces = any(each.id == draft.id for each in known)
        # The rules of which the draft, or what it replaces, boosts credits: about others it changes nothing.
        self.rules = frozenset(
            rule
            for each in (draft, *known)
            if each.id == draft.id
            for boost in each.campaign.boosts
            for rule in boost.rules
        )

        # Facts that some campaign asks for, which are read.
        self.asks = all_needs(each.campaign.audience for each in (draft, *known))

    def looked_at(self, credit: StoredCredit, country: str) -> tuple[PublishedCampaign, ...]:
        """The campaigns that are looked at for a credit; none where the draft changes nothing."""
        found = self.candidates(credit.rule_id, credit.decided_at, country=country, zone=credit.zone)
        if found is None:
            return ()
        # By their names: a campaign has its boosts, and is in both.
        return tuple({each.published.name: each.published for both in found for each in both}.values())

    def candidates(
        self, rule_id: str, at: datetime, *, country: str, zone: str
    ) -> tuple[Candidates, Candidates] | None:
        """The boosts about a rule at an instant, before and after; None where the draft changes nothing."""
        if rule_id not in self.rules:
            return None
        before = self.before.boosting(rule_id, at, country=country, zone=zone)
        after = self.after.boosting(rule_id, at, country=country, zone=zone)
        return (before, after) if self._concerns(before) or self._concerns(after) else None

    def _concerns(self, candidates: Candidates) -> bool:
        return any(each.published.id == self.draft.id for each in candidates)
