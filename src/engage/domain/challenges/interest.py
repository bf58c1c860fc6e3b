"""The facts that challenges are interested in, so that no others need to be read or folded."""

from collections.abc import Iterable

from msgspec import Struct

from engage.domain.challenges.definition import Challenge, Count, DistinctProducts, PointsEarned, SpendMinor
from engage.domain.challenges.facts import ORDER, Fact


class Interest(Struct, frozen=True):
    """The facts that some challenges count: by activity, and with `points` all that have any."""

    activities: frozenset[str]
    points: bool

    def __contains__(self, fact: Fact) -> bool:
        return fact.activity in self.activities or (self.points and fact.points > 0)


def joined(interests: Iterable[Interest]) -> Interest:
    """The interest of all of them."""
    found = list(interests)
    return Interest(
        frozenset(activity for each in found for activity in each.activities),
        any(each.points for each in found),
    )


def interest_of(challenges: Iterable[Challenge]) -> Interest:
    goals = [goal for challenge in challenges for goal in challenge.goals]
    activities = {goal.activity for goal in goals if isinstance(goal, Count | DistinctProducts)}
    if any(isinstance(goal, SpendMinor) for goal in goals):
        activities.add(ORDER)
    return Interest(frozenset(activities), any(isinstance(goal, PointsEarned) for goal in goals))
