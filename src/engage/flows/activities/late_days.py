"""Days of a streak that come late, such as from another process around midnight.

The gate knows the newest event of a streak alone. What an earlier activity makes of the streak, the whole
history says: it may fill a missed day, give back the freeze that covered it, and join two runs. The bonuses
of the days after it, which it completes, are accepted together with it.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from engage.domain import calendar
from engage.domain.earning.limits import StreakSlot
from engage.domain.earning.slots import Grant
from engage.domain.earning.streak import day_of
from engage.domain.earning.streak_history import Introduction, StreakEvent, TappedDay, fold
from engage.gate.keys import seconds
from engage.ledger.streaks import StreakInLedger


class LateDay(Struct, frozen=True):
    """The grant of a late day as the next event of the streak; None where the day is used.

    `completed` are the days after it that are now another one of their run.
    """

    grant: Grant | None
    seq: int
    completed: Sequence[Grant] = ()


def is_late(slot: StreakSlot, found: StreakInLedger) -> bool:
    """Tell whether an activity did not happen after the newest event, as far as the gate can tell, or counts
    for a day before it.
    """
    return seconds(slot.at) <= seconds(found.streak.at) or slot.day < found.streak.last_day


def late_day(
    slot: StreakSlot, zone: str, events: Sequence[StreakEvent], seq: int, since: Introduction | None
) -> LateDay:
    """Decide a late activity. `zone` is the member's, `seq` how many events there were."""
    then = fold([event for event in events if event.at < slot.at], since).streak
    day, day_zone = day_of(then, slot.at, zone, slot.terms)
    used = {event.day for event in events if isinstance(event, TappedDay)}
    today = calendar.local_date(slot.at, day_zone)
    if day in used and day < today:
        day = today
    before = fold(events, since).numbers
    after = fold([*events, TappedDay(slot.at, day, day_zone, slot.terms)], since)
    if day in used or day not in after.numbers or after.streak is None:
        return LateDay(None, seq)
    granted = replace(slot, day=day, zone=day_zone, may_be_before=False)
    completed = [
        Grant(replace(granted, day=later), number)
        for later, number in sorted(after.numbers.items())
        if later > day and before.get(later) != number
    ]
    return LateDay(Grant(granted, after.numbers[day], run=after.streak), seq + 1, completed)
