"""The effect of a campaign: the audience compared with the members who were held out.

Who is held out follows from a hash of the member alone, so the two groups differ in nothing but the campaign.
"""

from typing import Final

from msgspec import Struct

from engage.store.campaigns.report import Outcome

CONFIDENCE: Final = 0.95


class Uplift(Struct, frozen=True, kw_only=True):
    """Rates are shares from 0 to 1. `uplift` is the difference of the rates, and `interval` contains the true
    difference with a probability of `confidence`; null where one of the groups is empty.
    """

    members: int
    rate: float | None
    audience_members: int
    audience_rate: float | None
    uplift: float | None
    interval: tuple[float, float] | None
    confidence: float = CONFIDENCE


def compare(audience: Outcome, holdout: Outcome) -> Uplift:
    """Compare two groups: Newcombe's interval for a difference of proportions, made of Wilson's for each.

    Blocks for as long as importing scipy takes, the first time.
    """
    rates = [group.active / group.members if group.members else None for group in (holdout, audience)]
    uplift, interval = None, None
    if rates[0] is not None and rates[1] is not None:
        uplift = rates[1] - rates[0]
        low, high = _wilson(audience), _wilson(holdout)
        below = ((rates[1] - low[0]) ** 2 + (high[1] - rates[0]) ** 2) ** 0.5
        above = ((low[1] - rates[1]) ** 2 + (rates[0] - high[0]) ** 2) ** 0.5
        interval = (uplift - below, uplift + above)
    return Uplift(
        members=holdout.members,
        rate=rates[0],
        audience_members=audience.members,
        audience_rate=rates[1],
        uplift=uplift,
        interval=interval,
    )


def _wilson(group: Outcome) -> tuple[float, float]:
    """Wilson's interval for the rate of a group."""
    from scipy.stats import binomtest  # It is large, and few processes report.

    found = binomtest(group.active, group.members).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)
