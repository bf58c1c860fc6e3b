"""Windows in which chances and wins are counted: calendar days, weeks from Monday and months, or ever.

A play belongs to the local day on which it was made, so that the list of plays alone, with a day for each,
shows which of them count together.
"""

from datetime import date, datetime, timedelta

from engage.domain.calendar import add_months, start_of_day
from engage.domain.games.definition import GameWindow


def first_day(window: GameWindow, day: date) -> date:
    """Return the first day of the window that contains a day."""
    match window:
        case "ever":
            return date.min
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)


def last_day(window: GameWindow, day: date) -> date:
    """Return the last day of the window that contains a day."""
    match window:
        case "ever":
            return date.max
        case "day":
            return day
        case "week":
            return first_day(window, day) + timedelta(days=6)
        case "month":
            return add_months(first_day(window, day), 1) - timedelta(days=1)


def ends_at(window: GameWindow, day: date, zone: str) -> datetime | None:
    """Return the end of the window that contains a local day, in UTC; None for ever."""
    if window == "ever":
        return None
    return start_of_day(last_day(window, day) + timedelta(days=1), zone)
