"""A trial: a draft in a window of the past, and the campaigns that were in force there."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.backtests.activities import StoredCredit
from engage.domain.campaigns.audience import all_needs, needs
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


class Looked(Struct, frozen=True):
    """The boosts about a rule in a span of time, before and after, and the campaigns that these are of.
    `asks`: facts of members that are read decide about one of them. `pays`: the draft has rules of its own
    about the activity, and is one of the campaigns.
    """

    before: Candidates
    after: Candidates
    campaigns: tuple[PublishedCampaign, ...]
    asks: bool
    pays: bool


class Trial:
    """The campaigns `before`, as they were in force, and `after`, with the draft.

    `rules_about` are the ids of all rules about an activity, by which the activities are known that the
    draft's own rules are about.
    """

    def __init__(
        self,
        draft: PublishedCampaign,
        published: Iterable[PublishedCampaign],
        rules_about: Callable[[str], Collection[str]] = lambda activity: (),
    ) -> None:
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
        self.about = frozenset(
            each for rule in draft.campaign.rules for each in rules_about(rule.on.activity)
        )
        # Facts that some campaign asks for, which are read; and the campaigns that do.
        self.asks = all_needs(each.campaign.audience for each in (draft, *known))
        self.asking = frozenset(id(each) for each in (draft, *known) if needs(each.campaign.audience))
        self._looked: dict[tuple[int, int, bool], Looked | None] = {}
        self._candidates: list[Candidates] = []

    @property
    def asked_rules(self) -> frozenset[str]:
        """The rules of which the trial asks for the activities of credits."""
        return self.rules | self.about

    def looked(self, credit: StoredCredit, country: str) -> Looked | None:
        """The boosts that are looked at for a credit; None where the draft changes nothing."""
        is_about = credit.rule_id in self.about
        if not is_about and credit.rule_id not in self.rules:
            return None
        at, zone = credit.decided_at, credit.zone
        before = self.before.boosting(credit.rule_id, at, country=country, zone=zone)
        after = self.after.boosting(credit.rule_id, at, country=country, zone=zone)
        pays = is_about and self.draft in self.after.in_force(at, country=country, zone=zone)
        key = id(before), id(after), pays
        if key not in self._looked:
            # They are kept: no other object may get their ids.
            self._candidates += (before, after)
            self._looked[key] = self._look(before, after, pays=pays)
        return self._looked[key]

    def _look(self, before: Candidates, after: Candidates, *, pays: bool) -> Looked | None:
        # By their names: a campaign has its boosts, and is in both.
        campaigns = {each.published.name: each.published for both in (before, after) for each in both}
        if pays:
            campaigns[self.draft.name] = self.draft
        if not any(each.id == self.draft.id for each in campaigns.values()):
            return None
        asks = any(id(each) in self.asking for each in campaigns.values())
        return Looked(before, after, tuple(campaigns.values()), asks, pays)
