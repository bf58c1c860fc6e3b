"""Limits: how often a rule pays. A new limit is a module here and a line in each of these unions."""

from engage.domain.earning.limits.daily_streak import DailyStreak, StreakSlot
from engage.domain.earning.limits.first_orders import FirstOrders
from engage.domain.earning.limits.once import Once, OnceSlot
from engage.domain.earning.limits.once_per import OncePer
from engage.domain.earning.limits.per_window import PerWindow, WindowSlot
from engage.domain.earning.limits.same_as import SameAs

Limit = Once | OncePer | PerWindow | DailyStreak | SameAs | FirstOrders

# Limits that a rule may have besides its own.
FurtherLimit = PerWindow

Slot = StreakSlot | WindowSlot | OnceSlot

__all__ = [
    "DailyStreak",
    "FirstOrders",
    "FurtherLimit",
    "Limit",
    "Once",
    "OncePer",
    "OnceSlot",
    "PerWindow",
    "SameAs",
    "Slot",
    "StreakSlot",
    "WindowSlot",
]
