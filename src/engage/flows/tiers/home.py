"""The levels of a member on the home screen."""

from typing import Any

from engage.domain.tiers.definition import earliest
from engage.flows.tiers.views import TierView, member_tiers
from engage.runtime.home import HomeContext, HomeSection, View
from engage.store.tiers.movements import movements_of, movements_sql, parameters


def _parameters(context: HomeContext) -> dict[str, object]:
    if context.offer is None:
        return parameters(())
    groups, zone = context.offer.program.tier_groups, context.offer.market.zone
    begin = earliest(group.counts_from(context.now, zone) for group in groups)
    return parameters({group.metric for group in groups}, earned_from=begin)


def _tiers(context: HomeContext) -> View:
    if context.offer is None or not context.offer.program.tier_groups:
        return lambda _: []
    groups, zone = context.offer.program.tier_groups, context.offer.market.zone

    def tiers(value: Any) -> list[TierView]:
        found = member_tiers(groups, movements_of(value), now=context.now, zone=zone)
        return [tier.view(context.language) for tier in found]

    return tiers


TIERS = HomeSection(
    field="tiers", select=movements_sql("b"), type=str | None, parameters=_parameters, view=_tiers
)
