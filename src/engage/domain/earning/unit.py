"""The units that credits are counted in."""

from typing import Final, Literal

# Status is never spent and in no balance: it counts for tiers only.
Unit = Literal["points", "status"]

POINTS: Final[Unit] = "points"
STATUS: Final[Unit] = "status"
