"""Every campaign that was looked at for an activity: what each of its parts gave, and why not. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.activity import AnyActivity, Order
from engage.domain.campaigns.audience import Facts, Reason, share_of, why_not
from engage.domain.campaigns.boosting import AUDIENCE, Look
from engage.domain.campaigns.definition import Campaign, CampaignBoost
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.campaigns.lifecycle import EFFECTIVE, Action, Interval
from engage.domain.document.durations import iso_duration
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.definition import Rule
from engage.domain.refusals import Refusal

# The part that a look is about where it is about the whole campaign.
CAMPAIGN: Final = "campaign"

# The reasons of a boost that its campaign has chosen for a credit, whatever came of it.
CHOSEN: Final = (Reason.APPLIED, Reason.CAPPED, Reason.GROUP, Reason.EXCLUSIVE)

# Members and operators read these; a long list says no more than its beginning.
SHOWN: Final = 20


class Considered(Struct, frozen=True):
    """A campaign to look at, and the times in which an operator had paused it."""

    published: PublishedCampaign
    pauses: Sequence[Interval] = ()


class Occasion(Struct, frozen=True):
    """An activity of a member with these facts before it, and the rules about it: what it earned, or why it
    was refused. `exhausted` are rules of campaigns that these cannot pay.
    """

    activity: AnyActivity
    at: datetime
    facts: Facts
    rules: frozenset[str]
    credits: Sequence[NewCredit] = ()
    refusal: Refusal | None = None
    exhausted: Set[str] = frozenset()

    @property
    def local(self) -> datetime:
        return self.at.astimezone(ZoneInfo(self.facts.zone))


def pauses(actions: Iterable[Action]) -> list[Interval]:
    """The times in which operators had paused a campaign."""
    found: list[Interval] = []
    paused: Action | None = None
    for action in sorted(actions, key=lambda action: action.number):
        if action.kind not in EFFECTIVE or action.kind == "approved":
            continue
        if paused is not None:
            found.append(Interval(paused.version, paused.effective_at, action.effective_at))
        paused = action if action.kind == "paused" else None
    if paused is not None:
        found.append(Interval(paused.version, paused.effective_at, None))
    return found


def explain(
    considered: Iterable[Considered],
    decided: Iterable[PublishedCampaign],
    occasion: Occasion,
    looks: Sequence[Look],
) -> list[Look]:
    """At least one look for each campaign, in their order. `decided` are the same as the decision took them,
    which for a made-up member is without shares of members, and `looks` are those that it took at boosts.
    """
    as_decided = {each.name: each.campaign for each in decided}
    of_boosts: dict[tuple[str, int, str], list[Look]] = {}
    for look in looks:
        of_boosts.setdefault((look.campaign, look.version, look.part), []).append(look)
    return [
        look
        for each in considered
        for look in _campaign(each, as_decided[each.published.name], occasion, of_boosts)
    ]


def _campaign(
    considered: Considered,
    decided: Campaign,
    occasion: Occasion,
    looks: Mapping[tuple[str, int, str], list[Look]],
) -> Iterator[Look]:
    published, facts = considered.published, occasion.facts
    campaign = published.campaign
    if not published.is_in_force(occasion.at, facts.zone):
        yield _not_in_force(considered, occasion)
        return
    reason = why_not(decided, facts, occasion.at)
    if reason is not None:
        yield _look(published, AUDIENCE, reason, **_audience_facts(campaign, facts, reason))
        return
    for boost in campaign.boosts:
        found = looks.get((published.id, published.version, boost.id), ())
        yield from (replace(look, facts=look.facts | _facts(look, boost, occasion, looks)) for look in found)
        if not found:
            yield _unmatched(published, boost, occasion)
    for rule in campaign.rules:
        yield _rule(published, rule, occasion)
    if not campaign.boosts and not campaign.rules:
        yield _look(published, CAMPAIGN, Reason.RULE, **_activity(occasion))


def _not_in_force(considered: Considered, occasion: Occasion) -> Look:
    published, zone = considered.published, occasion.facts.zone
    pause = next((pause for pause in considered.pauses if pause.contains(occasion.at)), None)
    begin, end = published.campaign.begins_at(zone), published.campaign.ends_at(zone)
    times: dict[str, Any] = {"from": begin, "until": end}
    if not begin <= occasion.at < end:
        return _look(published, CAMPAIGN, Reason.NOT_IN_FORCE, **times)
    if pause is not None:
        return _look(published, CAMPAIGN, Reason.PAUSED, paused_at=pause.start, resumed_at=pause.end)
    approved = [{"from": each.start, "until": each.end} for each in published.intervals]
    return _look(published, CAMPAIGN, Reason.NOT_IN_FORCE, **times, approved=approved)


def _audience_facts(campaign: Campaign, facts: Facts, reason: Reason) -> dict[str, Any]:
    audience = campaign.audience
    match reason:
        case Reason.COUNTRY:
            return {"countries": audience.countries, "country": facts.country}
        case Reason.TIER:
            return {"tiers": audience.tiers, "levels": sorted(facts.levels)}
        case Reason.SEGMENT:
            return {"segments": audience.segments, "member_segments": sorted(facts.segments)[:SHOWN]}
        case Reason.JOINED:
            limits = {"joined_before": audience.joined_before, "joined_after": audience.joined_after}
            return {**_given(limits), "joined_at": facts.joined_at}
        case Reason.FIRST_ORDER:
            return {"last_order_at": facts.last_order_at}
        case Reason.RECENT_ORDER:
            assert audience.no_order_for is not None
            asked = iso_duration(audience.no_order_for)
            return {"no_order_for": asked, "last_order_at": facts.last_order_at}
        case Reason.PERCENT:
            return {"percent": audience.percent, **_share(campaign, facts, "percent")}
        case _:
            return {"holdout_percent": campaign.holdout_percent, **_share(campaign, facts, "holdout")}


def _share(campaign: Campaign, facts: Facts, purpose: Literal["percent", "holdout"]) -> dict[str, Any]:
    """The place of a member among all; a made-up one has none."""
    if not facts.member_id:
        return {}
    return {"share": share_of(facts.member_id, campaign.program, campaign.id, purpose)}


def _unmatched(published: PublishedCampaign, boost: CampaignBoost, occasion: Occasion) -> Look:
    """A boost that was not looked at for any credit."""
    matching = sorted(occasion.rules.intersection(boost.rules))
    if not matching:
        rules: dict[str, Any] = {
            "rules": boost.rules[:SHOWN],
            "rules_of_activity": sorted(occasion.rules)[:SHOWN],
        }
        return _look(published, boost.id, Reason.RULE, **_activity(occasion), **rules)
    rule = matching[0]
    if not boost.happens_at(occasion.local):
        times = _given({"weekdays": boost.weekdays, "hours": boost.hours})
        local = occasion.local.replace(tzinfo=None)
        return _look(published, boost.id, Reason.WEEKDAY_OR_HOUR, rule=rule, **times, local_time=local)
    return _unpaid(published, boost.id, rule, occasion)


def _facts(
    look: Look,
    boost: CampaignBoost,
    occasion: Occasion,
    looks: Mapping[tuple[str, int, str], list[Look]],
) -> dict[str, Any]:
    """The facts that stood in the way of a boost which was looked at for a credit."""
    order = occasion.activity if isinstance(occasion.activity, Order) else None
    match look.reason:
        case Reason.LINES if order is not None:
            bought = {"bought": sorted({line.product_id for line in order.lines})[:SHOWN]}
            wanted = {"products": boost.products, "categories": boost.categories}
            return {name: found[:SHOWN] for name, found in _given(wanted).items()} | bought
        case Reason.CHANNEL if order is not None:
            return {"channels": boost.channels, "channel": order.channel}
        case Reason.AMOUNT if order is not None:
            return {"min_amount_minor": boost.min_amount_minor}
        case Reason.NOTHING_TO_ADD:
            return {"multiply": boost.multiply}
        case Reason.OTHER_BOOST:
            others = (
                other.part
                for (campaign, version, _), found in looks.items()
                if (campaign, version) == (look.campaign, look.version)
                for other in found
                if other.rule == look.rule and other.reason in CHOSEN
            )
            return {"boost": next(others, None)}
        case _:
            return {}


def _rule(published: PublishedCampaign, rule: Rule, occasion: Occasion) -> Look:
    credit = next((each for each in occasion.credits if each.rule_id == rule.id and each.boost is None), None)
    if credit is not None:
        return _look(published, rule.id, Reason.APPLIED, rule=rule.id, points=credit.points)
    if rule.id in occasion.exhausted:
        return _look(published, rule.id, Reason.BUDGET, rule=rule.id)
    if rule.id not in occasion.rules:
        return _look(published, rule.id, Reason.RULE, rule=rule.id, **_activity(occasion))
    return _unpaid(published, rule.id, rule.id, occasion)


def _unpaid(published: PublishedCampaign, part: str, rule: str, occasion: Occasion) -> Look:
    """A part about a rule that paid nothing for the activity."""
    refusal = occasion.refusal
    if refusal is None:
        return _look(published, part, Reason.NOTHING_TO_ADD, rule=rule)
    facts = {name: value for name, value in refusal.facts.items() if name != "rule"}
    return replace(
        _look(published, part, Reason.LIMIT, rule=rule), facts={"code": str(refusal.code), **facts}
    )


def _activity(occasion: Occasion) -> dict[str, Any]:
    return {"activity": str(occasion.activity.__struct_config__.tag)}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _look(
    published: PublishedCampaign, part: str, reason: Reason, rule: str | None = None, **facts: Any
) -> Look:
    applied = reason is Reason.APPLIED
    return Look(published.id, published.version, part, applied, reason, rule, facts)
