"""The next thing that a member does: a pure function of what is known, and of chance."""

from collections.abc import Callable
from random import Random

from engage.torture.members.actions import Action
from engage.torture.members.choices import earning, engagement, orders, spending
from engage.torture.members.knowledge import Knowledge

Choice = Callable[[Knowledge, Random], Action | None]

CHOICES: tuple[tuple[int, Choice], ...] = (
    *earning.CHOICES,
    *orders.CHOICES,
    *spending.CHOICES,
    *engagement.CHOICES,
)


def next_action(known: Knowledge, rng: Random) -> Action:
    """Something that makes sense now. It notes in `known` the identifiers that it gives away."""
    weights = [weight for weight, _ in CHOICES]
    while True:
        (chosen,) = rng.choices(CHOICES, weights)
        action = chosen[1](known, rng)
        if action is not None:
            return action
