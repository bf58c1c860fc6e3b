"""Corrections of points by operators: small ones at once, others by two."""

from datetime import timedelta
from typing import Final, Literal

# One operator gives or takes this many points of a member alone, within this time. More than that waits for a
# second operator.
MOST_ALONE: Final = 500
ALONE_WITHIN: Final = timedelta(days=1)

# The most points of one correction, by whoever.
LARGEST: Final = 1_000_000

# A correction that is `requested` waits; one that is `made` has changed the balance.
State = Literal["requested", "made", "rejected"]


def needs_second(points: int, *, made_alone: int) -> bool:
    """Return whether a correction by these points, given or taken, waits for a second operator. `made_alone`:
    what the same operator gave and took alone, of this member, within ALONE_WITHIN.
    """
    return made_alone + abs(points) > MOST_ALONE
