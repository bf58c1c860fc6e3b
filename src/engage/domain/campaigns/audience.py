"""The audience of a campaign: facts of a member against conditions, and stable shares of members."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final, Literal

from msgspec import Struct

from engage.domain.calendar import instant
from engage.domain.campaigns.definition import Audience, Campaign

Need = Literal["tiers", "segments", "orders"]
Purpose = Literal["percent", "holdout"]

# The places of members in a share: hundredths of a percent.
PLACES: Final = 10_000


class Reason(StrEnum):
    """Why a part of a campaign did not apply, or APPLIED. Stable names: dry runs show them."""

    APPLIED = "applied"
    NOT_IN_FORCE = "not_in_force"
    PAUSED = "paused"
    COUNTRY = "country"
    TIER = "tier"
    SEGMENT = "segment"
    JOINED = "joined"
    FIRST_ORDER = "first_order"
    RECENT_ORDER = "recent_order"
    PERCENT = "percent"
    HOLDOUT = "holdout"
    RULE = "rule"
    LINES = "lines"
    CHANNEL = "channel"
    AMOUNT = "amount"
    WEEKDAY_OR_HOUR = "weekday_or_hour"
    NOTHING_TO_ADD = "nothing_to_add"
    OTHER_BOOST = "other_boost"
    GROUP = "group"
    EXCLUSIVE = "exclusive"
    CAPPED = "capped"
    LIMIT = "limit"
    BUDGET = "budget"


class FactsRead(Struct, frozen=True):
    """The facts of a member at the time of an activity that have to be read.

    `levels` are those of all tier groups, `segments` those of which the member is. `last_order_at` is the
    newest payment of an order before the activity. Facts that no campaign asks for are left out.
    """

    levels: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    last_order_at: datetime | None = None


class Facts(FactsRead, frozen=True, kw_only=True):
    """All facts of a member at the time of an activity."""

    program: str
    member_id: str
    country: str
    zone: str
    joined_at: datetime


def needs(audience: Audience) -> frozenset[Need]:
    """The facts that have to be read from the database for this audience."""
    found: list[Need] = []
    if audience.tiers is not None:
        found.append("tiers")
    if audience.segments is not None:
        found.append("segments")
    if audience.needs_orders:
        found.append("orders")
    return frozenset(found)


def all_needs(audiences: Iterable[Audience]) -> frozenset[Need]:
    return frozenset().union(*map(needs, audiences))


def share_of(member_id: str, program: str, owner: str, purpose: Purpose) -> float:
    """The place of a member in [0, 100), spread evenly, and the same for ever for its owner: a campaign, by
    its id, or `segment:<id>`.

    PostgreSQL computes it too, for reports (`engage.store.campaigns.report`).
    """
    return place_of(place_name(program, owner, purpose) + member_id.encode()) / 100


def place_name(program: str, owner: str, purpose: Purpose) -> bytes:
    """The beginning of what is hashed for the place of a member, before the member's id."""
    return f"{purpose}:{program}:{owner}:".encode()


def place_of(name: bytes) -> int:
    """The place of a member in a share, by the whole name: one of PLACES."""
    return int.from_bytes(sha256(name).digest()[:4]) % PLACES


def is_held_out(campaign: Campaign, member_id: str) -> bool:
    """Tell whether a member of the audience is in the group that gets nothing, for comparison."""
    percent = campaign.holdout_percent
    return percent > 0 and share_of(member_id, campaign.program, campaign.id, "holdout") < percent


def outside(campaign: Campaign, facts: Facts, at: datetime) -> Reason | None:
    """Why a member is not in the audience; None for a member who is, held out or not."""
    return outside_of(campaign.audience, facts, at, owner=campaign.id)


def outside_of(audience: Audience, facts: Facts, at: datetime, *, owner: str) -> Reason | None:
    """Why a member does not meet conditions; None for a member who does. `owner` is that of the shares."""
    return _outside_as_member(audience, facts, owner) or outside_by_facts(audience, facts, at)


def why_not(campaign: Campaign, facts: Facts, at: datetime) -> Reason | None:
    """Why a campaign gives this member nothing; None where it does."""
    reason = outside(campaign, facts, at)
    if reason is None and is_held_out(campaign, facts.member_id):
        return Reason.HOLDOUT
    return reason


def may_be_for(campaign: Campaign, facts: Facts) -> bool:
    """Tell whether a campaign is for a member unless facts that have to be read say otherwise."""
    return _outside_as_member(campaign.audience, facts, campaign.id) is None and not is_held_out(
        campaign, facts.member_id
    )


def _outside_as_member(audience: Audience, facts: Facts, owner: str) -> Reason | None:
    if audience.countries is not None and facts.country not in audience.countries:
        return Reason.COUNTRY
    if not _joined(audience, facts):
        return Reason.JOINED
    if audience.percent is not None:
        share = share_of(facts.member_id, facts.program, owner, "percent")
        if share >= audience.percent:
            return Reason.PERCENT
    return None


def outside_by_facts(audience: Audience, facts: FactsRead, at: datetime) -> Reason | None:
    """The same by the facts that have to be read alone."""
    if audience.tiers is not None and facts.levels.isdisjoint(audience.tiers):
        return Reason.TIER
    if audience.segments is not None and facts.segments.isdisjoint(audience.segments):
        return Reason.SEGMENT
    last = facts.last_order_at
    if audience.first_order and last is not None:
        return Reason.FIRST_ORDER
    if audience.no_order_for is not None and last is not None and last > at - audience.no_order_for:
        return Reason.RECENT_ORDER
    return None


def _joined(audience: Audience, facts: Facts) -> bool:
    before, after = audience.joined_before, audience.joined_after
    if before is not None and facts.joined_at >= instant(before, facts.zone):
        return False
    return after is None or facts.joined_at >= instant(after, facts.zone)
