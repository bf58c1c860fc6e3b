"""The levels of a member on the home screen."""

from typing import Any

from engage.flows.tiers.views import TierView, member_tiers
from engage.runtime.home import HomeContext, HomeSection
from engage.store.tiers.movements import movements_of, movements_sql, parameters


def _parameters(context: HomeContext) -> dict[str, object]:
    groups = [] if context.offer is None else context.offer.program.tier_groups
    return parameters({group.metric for group in groups})


def _tiers(context: HomeContext, value: Any) -> list[TierView]:
    if context.offer is None:
        return []
    found = member_tiers(
        context.offer.program.tier_groups,
        movements_of(value),
        now=context.now,
        zone=context.offer.market.zone,
    )
    return [tier.view(context.language) for tier in found]


TIERS = HomeSection(field="tiers", select=movements_sql("b"), parameters=_parameters, view=_tiers)
