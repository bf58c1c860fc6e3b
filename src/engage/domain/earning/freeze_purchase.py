"""Buying a freeze: whether one is sold, whether the member can have one more, and the streak with it."""

from datetime import datetime

from engage.domain.earning.streak import Streak, StreakTerms, freezes_at, with_freezes
from engage.domain.refusals import Code, Refusal


def price(terms: StreakTerms | None) -> int:
    """The points that a freeze costs. Raises Refusal not_offered."""
    if terms is None or terms.freezes is None or terms.freezes.price_points is None:
        raise Refusal(Code.NOT_OFFERED)
    return terms.freezes.price_points


def with_one_more(streak: Streak | None, at: datetime, zone: str, terms: StreakTerms) -> Streak:
    """The streak with a freeze that is bought at `at`. Raises Refusal not_offered, freezes_full."""
    price(terms)
    assert terms.freezes is not None
    if freezes_at(streak, at, terms) >= terms.freezes.max:
        raise Refusal(Code.FREEZES_FULL, limit=terms.freezes.max)
    return with_freezes(streak, 1, at if streak is None else max(at, streak.at), zone, terms)


def check_points(active: int, points: int) -> None:
    """Raises Refusal insufficient_points."""
    if active < points:
        raise Refusal(Code.INSUFFICIENT_POINTS, active=active, points=points)
