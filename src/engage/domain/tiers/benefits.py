"""The benefits of a member's levels together."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

import msgspec

from engage.domain.tiers.definition import MULTIPLY, Benefit, Level


def joined(levels: Iterable[Level]) -> dict[str, Benefit]:
    """The benefits of several levels: of each the better one, of texts that are no durations the first.

    Multipliers add up, each on the base, as their credits do.
    """
    found: dict[str, Benefit] = {}
    boosts = Decimal(0)
    for level in levels:
        boosts += level.multiply - 1
        for name, value in level.benefits.items():
            found[name] = _better(found[name], value) if name in found else value
    if MULTIPLY in found:
        found[MULTIPLY] = float(boosts + 1)
    return found


def _better(one: Benefit, other: Benefit) -> Benefit:
    if isinstance(one, bool) or isinstance(other, bool):
        return bool(one) or bool(other)
    if isinstance(one, str) or isinstance(other, str):
        lengths = _duration(one), _duration(other)
        longer = lengths[0] is not None and lengths[1] is not None and lengths[1] > lengths[0]
        return other if longer else one
    return max(one, other)


def _duration(text: Benefit) -> timedelta | None:
    try:
        return msgspec.convert(text, timedelta)
    except msgspec.ValidationError:
        return None
