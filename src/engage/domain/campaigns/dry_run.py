"""Dry runs: what one activity would earn, and a look at every campaign. Nothing comes of them."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.activity import Order, RuleActivity
from engage.domain.campaigns.boosting import Look
from engage.domain.campaigns.explanation import Considered, Occasion, explain
from engage.domain.campaigns.simulated import SimulatedCampaigns
from engage.domain.earning.credit import NewCredit
from engage.domain.refusals import Refusal
from engage.domain.simulation.member import SimulatedMember


class DryRun(Struct, frozen=True):
    """The credits of an activity, none where it is refused."""

    credits: Sequence[NewCredit]
    refusal: Refusal | None
    trace: Sequence[Look]


def dry_run(
    member: SimulatedMember, considered: Sequence[Considered], activity: RuleActivity, at: datetime
) -> DryRun:
    """Let a simulated member do one thing. The member is of no use afterwards."""
    campaigns = member.feature(SimulatedCampaigns)
    member.joined_at = member.joined_at or at
    facts = campaigns.facts(at)
    rules = frozenset(rule.id for rule in member.terms_at(at).rules.matching(activity))
    credits: list[NewCredit] = []
    refusal = None
    try:
        credits = _earned(member, activity, at)
    except Refusal as error:
        refusal = error
    occasion = Occasion(activity, at, facts, rules, credits, refusal, campaigns.exhausted)
    decided = campaigns.index.published
    return DryRun(credits, refusal, explain(considered, decided, occasion, campaigns.looks))


def _earned(member: SimulatedMember, activity: RuleActivity, at: datetime) -> list[NewCredit]:
    if not isinstance(activity, Order):
        return member.record(activity, at)
    known = member.orders.get(activity.order_id)
    if known is not None and known.paid is not None:
        known.has_payment(activity, known.paid.hold_id)
        return []  # It has earned what it earns.
    return [*member.pay(activity, at), *member.first_orders.promised(activity.order_id, at)]
