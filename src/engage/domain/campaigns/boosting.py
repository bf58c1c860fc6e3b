"""The additions of campaigns to base credits, and a trace that says for each campaign why, or why not. Pure.

Each campaign boosts a credit at most once: with the first of its boosts that applies. Campaigns add up, each
on the base, unless their stacking says otherwise; what the budget allows is decided later.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from msgspec import Struct

from engage.domain.campaigns.audience import Facts, Reason, why_not
from engage.domain.campaigns.bases import Base
from engage.domain.campaigns.definition import CampaignBoost
from engage.domain.campaigns.index import Candidate, PublishedCampaign
from engage.domain.earning.boost import Boost
from engage.domain.earning.trace import TraceCode
from engage.domain.earning.unit import POINTS

# The part of a campaign that a look is about, where it is not one of its boosts.
AUDIENCE = "audience"


class Look(Struct, frozen=True):
    """A part of a campaign that was looked at for an activity. `part` is the id of a boost, or the audience.
    `rule` is that of the base credit, where the look is about one.
    """

    campaign: str
    version: int
    part: str
    applied: bool
    reason: Reason
    rule: str | None = None
    facts: dict[str, Any] = {}


class Addition(Struct, frozen=True):
    """The points that a campaign adds beside one base credit. `lines` are those of the order that it is
    about.
    """

    published: PublishedCampaign
    boost: CampaignBoost
    base: Base
    points: int
    lines: tuple[str, ...] | None = None

    @property
    def rank(self) -> tuple[int, str]:
        """Sorts those that come first to the front."""
        return -self.published.campaign.stacking.priority, self.published.id

    def as_boost(self) -> Boost:
        facts: dict[str, Any] = {"campaign": self.published.id, "version": self.published.version}
        multiplies = self.boost.multiply is not None
        if multiplies:
            facts["multiply"] = str(self.boost.multiply)
        return Boost(
            id=self.boost.id,
            key=self.published.id,
            code=TraceCode.CAMPAIGN_MULTIPLIES if multiplies else TraceCode.CAMPAIGN_ADDS,
            facts=facts,
            campaign=self.published.id,
            version=self.published.version,
            rule=self.base.credit.rule_id,
            points=self.points,
            lines=self.lines,
        )


def additions(
    bases: Sequence[Base],
    candidates: Callable[[str], Sequence[Candidate]],
    facts: Facts,
    at: datetime,
    looks: list[Look] | None = None,
) -> list[Addition]:
    """The additions to the credits of one activity, in the order of bases and ranks.

    `candidates` are the boosts about a rule that are in force at `at`. Each part that is looked at is added
    to `looks`, where that is given.
    """
    reasons: dict[str, Reason | None] = {}
    found: list[Addition] = []
    for base in bases:
        if base.credit.unit != POINTS:
            continue
        for_member = _for_member(candidates(base.credit.rule_id), facts, at, reasons, looks)
        found += additions_beside(base, for_member, looks)
    return found


def additions_beside(
    base: Base, candidates: Iterable[Candidate], looks: list[Look] | None = None
) -> list[Addition]:
    """The additions to one credit by boosts of campaigns that are for its member, by their ranks."""
    if base.credit.unit != POINTS:
        return []
    return _stacked(base, _wanted(base, candidates, looks), looks)


def _for_member(
    candidates: Iterable[Candidate],
    facts: Facts,
    at: datetime,
    reasons: dict[str, Reason | None],
    looks: list[Look] | None,
) -> list[Candidate]:
    """The boosts of campaigns that are for a member. `reasons` are those found so far, by campaign."""
    found = []
    for candidate in candidates:
        campaign = candidate.published.campaign
        if campaign.id not in reasons:
            reasons[campaign.id] = reason = why_not(campaign, facts, at)
            if reason is not None:
                _look(looks, candidate.published, AUDIENCE, reason)
        if reasons[campaign.id] is None:
            found.append(candidate)
    return found


def _wanted(base: Base, candidates: Iterable[Candidate], looks: list[Look] | None) -> list[Addition]:
    """The first boost of each campaign that applies to a base."""
    found: dict[str, Addition] = {}
    for candidate in candidates:
        if candidate.published.id in found:
            _look(looks, candidate.published, candidate.boost.id, Reason.OTHER_BOOST, base)
            continue
        addition = _addition(base, candidate)
        if isinstance(addition, Reason):
            _look(looks, candidate.published, candidate.boost.id, addition, base)
        else:
            found[candidate.published.id] = addition
    return sorted(found.values(), key=lambda addition: addition.rank)


def _addition(base: Base, candidate: Candidate) -> Addition | Reason:
    """The addition of a boost to a base, or why there is none."""
    boost = candidate.boost
    if base.order is None:
        if boost.is_about_orders:
            return Reason.RULE
        points = int(boost.factor * base.exact) if boost.add is None else boost.add
        return Addition(candidate.published, boost, base, points) if points else Reason.NOTHING_TO_ADD
    if boost.channels is not None and base.order.channel not in boost.channels:
        return Reason.CHANNEL
    lines = base.lines_about(boost)
    if not lines:
        return Reason.LINES
    if boost.min_amount_minor is not None and sum(line.paid for line, _ in lines) < boost.min_amount_minor:
        return Reason.AMOUNT
    points = int(boost.factor * base.share(lines)) if boost.add is None else boost.add
    if not points:
        return Reason.NOTHING_TO_ADD
    own = None if len(lines) == len(base.lines) else tuple(line.line_id for line, _ in lines)
    return Addition(candidate.published, boost, base, points, own)


def _stacked(base: Base, wanted: Sequence[Addition], looks: list[Look] | None) -> list[Addition]:
    """The additions that remain beside one base, by the stacking of their campaigns."""
    by_group: dict[str, str] = {}
    kept: list[Addition] = []
    for addition in wanted:
        group = addition.published.campaign.stacking.group
        first = addition.published.id if group is None else by_group.setdefault(group, addition.published.id)
        if first == addition.published.id:
            kept.append(addition)
        else:
            _look(looks, addition.published, addition.boost.id, Reason.GROUP, base, by=first)
    exclusive = next((each for each in kept if each.published.campaign.stacking.exclusive), None)
    if exclusive is not None:
        for addition in kept:
            if addition is not exclusive:
                by = exclusive.published.id
                _look(looks, addition.published, addition.boost.id, Reason.EXCLUSIVE, base, by=by)
        kept = [exclusive]
    return _capped(base, kept, looks)


def _capped(base: Base, kept: Sequence[Addition], looks: list[Look] | None) -> list[Addition]:
    """Cut the sum by the lowest cap among the campaigns: those of the lowest rank lose first."""
    caps = [cap for each in kept if (cap := each.published.campaign.stacking.max_multiplier) is not None]
    left = int(Fraction(str(min(caps))) * base.credit.points) - base.credit.points if caps else None
    found = []
    for addition in kept:
        points = addition.points if left is None else min(addition.points, left)
        if left is not None:
            left -= points
        reason = Reason.APPLIED if points == addition.points else Reason.CAPPED
        _look(
            looks, addition.published, addition.boost.id, reason, base, points=points, wanted=addition.points
        )
        if points:
            found.append(Addition(addition.published, addition.boost, base, points, addition.lines))
    return found


def _look(
    looks: list[Look] | None,
    published: PublishedCampaign,
    part: str,
    reason: Reason,
    base: Base | None = None,
    **facts: object,
) -> None:
    if looks is None:
        return
    applied = reason is Reason.APPLIED or (reason is Reason.CAPPED and bool(facts.get("points")))
    rule = None if base is None else base.credit.rule_id
    looks.append(Look(published.id, published.version, part, applied, reason, rule, facts))
