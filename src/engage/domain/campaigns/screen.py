"""Campaigns that are about the same thing, prepared so that those for a member are found fast.

The conditions of an audience are settled in the order of their cost: countries and times of joining once for
all members, shares of members by a hash each, and facts that have to be read for those campaigns alone that
nothing else rules out. Members for whom the same campaigns are left share one `Shortlist`, which knows what
to read. `why_not` of `engage.domain.campaigns.audience` says the same about one campaign.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from engage.domain.calendar import instant
from engage.domain.campaigns.audience import PLACES, FactsRead, needs, outside_by_facts, place_name, place_of
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.segments import NO_SEGMENTS, Conditions, SegmentIndex

# Of a screen, so that it does not grow with every combination of shares.
SHORTLISTS: Final = 1_000
ANSWERS: Final = 1_000

_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_PERCENT: Final = PLACES // 100


class Asked(Struct, frozen=True, kw_only=True):
    """The facts that decide whether campaigns are for a member. `lists` and `computed` are segments."""

    levels: frozenset[str]
    payments: bool
    lists: frozenset[str]
    computed: Conditions

    @property
    def is_nothing(self) -> bool:
        return not (self.levels or self.payments or self.lists or self.computed)


class Shortlist:
    """The campaigns that are for a member unless facts that have to be read say otherwise."""

    def __init__(self, campaigns: Sequence[Campaign], *, at: datetime, segments: SegmentIndex) -> None:
        self._certain = frozenset(each.id for each in campaigns if not needs(each.audience))
        self._open = [each for each in campaigns if needs(each.audience)]
        self._answers: dict[tuple[frozenset[str], frozenset[str]], frozenset[str]] = {}
        self.asked = asked_by(self._open, at=at, segments=segments)
        self.is_empty = not campaigns

    def reached_by(self, facts: FactsRead, at: datetime) -> frozenset[str]:
        """The campaigns that are for the member, by all facts."""
        if not self._open:
            return self._certain
        if facts.last_order_at is not None:
            return self._decide(facts, at)
        key = facts.levels, facts.segments
        found = self._answers.get(key)
        if found is None:
            if len(self._answers) >= ANSWERS:
                self._answers.clear()
            found = self._answers[key] = self._decide(facts, at)
        return found

    def _decide(self, facts: FactsRead, at: datetime) -> frozenset[str]:
        open_ = (each.id for each in self._open if outside_by_facts(each.audience, facts, at) is None)
        return self._certain.union(open_)


# The beginning of the name of a member's place, and the places that are within: [begin, end).
_Share = tuple[bytes, int, int]


class _Joined(Struct, frozen=True):
    """The numbers of campaigns for members who have joined in the same time: of all of these members, or of
    those in shares.
    """

    whole: list[int]
    in_shares: list[tuple[int, list[_Share]]]


class Screen:
    """Campaigns for the members of a country and a zone, at a time at which the same versions of the computed
    `segments` are in force.
    """

    def __init__(
        self,
        campaigns: Iterable[Campaign],
        *,
        country: str,
        zone: str,
        at: datetime,
        segments: SegmentIndex = NO_SEGMENTS,
    ) -> None:
        self._campaigns = [each for each in campaigns if _is_for(each, country)]
        self._at = at
        self._segments = segments
        self._by_joining: dict[tuple[datetime, datetime], _Joined] = {}
        for number, campaign in enumerate(self._campaigns):
            joined = self._by_joining.setdefault(_joining(campaign, zone), _Joined([], []))
            shares = _shares(campaign)
            if shares:
                joined.in_shares.append((number, shares))
            else:
                joined.whole.append(number)
        self._shortlists: dict[tuple[int, ...], Shortlist] = {}

    def shortlist(self, member_id: str, joined_at: datetime) -> Shortlist:
        """The campaigns left for a member, by what is known of everybody."""
        member = member_id.encode()
        left: list[int] = []
        # Plain loops: every activity of every member comes by here.
        for (since, until), campaigns in self._by_joining.items():
            if since <= joined_at < until:
                left += campaigns.whole
                for number, shares in campaigns.in_shares:
                    for name, begin, end in shares:
                        if not begin <= place_of(name + member) < end:
                            break
                    else:
                        left.append(number)
        numbers = tuple(left)
        found = self._shortlists.get(numbers)
        if found is None:
            if len(self._shortlists) >= SHORTLISTS:
                self._shortlists.clear()
            documents = [self._campaigns[number] for number in numbers]
            found = self._shortlists[numbers] = Shortlist(documents, at=self._at, segments=self._segments)
        return found


def asked_by(campaigns: Iterable[Campaign], *, at: datetime, segments: SegmentIndex) -> Asked:
    """The facts for which the audiences of campaigns ask, and the segments that they name."""
    audiences = [each.audience for each in campaigns]
    named = _union(audience.segments for audience in audiences)
    computed = segments.conditions(named, at)
    audiences += computed.values()
    return Asked(
        levels=_union(audience.tiers for audience in audiences),
        payments=any(audience.needs_orders for audience in audiences),
        lists=named - computed.keys(),
        computed=computed,
    )


def _is_for(campaign: Campaign, country: str) -> bool:
    return campaign.audience.countries is None or country in campaign.audience.countries


def _joining(campaign: Campaign, zone: str) -> tuple[datetime, datetime]:
    """The instants from and until which a member of the audience has joined."""
    after, before = campaign.audience.joined_after, campaign.audience.joined_before
    return (
        _ALWAYS if after is None else instant(after, zone),
        _NEVER if before is None else instant(before, zone),
    )


def _shares(campaign: Campaign) -> list[_Share]:
    """The shares of members in which a member has to be for a campaign."""
    found: list[_Share] = []
    if campaign.audience.percent is not None:
        name = place_name(campaign.program, campaign.id, "percent")
        found.append((name, 0, campaign.audience.percent * _PERCENT))
    if campaign.holdout_percent:
        name = place_name(campaign.program, campaign.id, "holdout")
        found.append((name, campaign.holdout_percent * _PERCENT, PLACES))
    return found


def _union(found: Iterable[Sequence[str] | None]) -> frozenset[str]:
    return frozenset(name for names in found for name in names or ())
