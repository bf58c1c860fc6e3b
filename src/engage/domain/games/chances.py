"""The chances that a member has left, and when there are more."""

from datetime import datetime

from msgspec import Struct

from engage.domain.calendar import local_date
from engage.domain.games.definition import Chances
from engage.domain.games.windows import ends_at


class ChancesLeft(Struct, frozen=True):
    """`left` plays now. `resets_at` is when the next one comes, with the extra one counted; None is never."""

    left: int
    resets_at: datetime | None


def chances_left(
    chances: Chances, *, played: int, last_play: datetime | None, at: datetime, zone: str
) -> ChancesLeft:
    """`played`: the member's plays in the window that contains `at`; `last_play`: the latest of them.

    After a merger the plays of both count, so there may be more than chances.
    """
    end = ends_at(chances.window, local_date(at, zone), zone)
    if played < chances.count:
        return ChancesLeft(chances.count - played, end)
    if played == chances.count and chances.extra_after is not None and last_play is not None:
        extra_at = last_play + chances.extra_after
        if extra_at <= at:
            return ChancesLeft(1, end)
        if end is None or extra_at < end:
            return ChancesLeft(0, extra_at)
    return ChancesLeft(0, end)


def most_plays(chances: Chances) -> int:
    """The most plays of one member in a window."""
    return chances.count + (chances.extra_after is not None)
