"""The sandbox's time at any instant of the record, as far as clients can know it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from engage.torture.checks.exchanges import Exchange
from engage.torture.members.durations import duration

# A request whose client has given up may run on for so long.
STILL_RUNS_S = 60.0

# What was accepted so long before an advance may have been committed during it.
UNDER_WAY = timedelta(seconds=10)

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Timeline:
    """Bounds of the sandbox's time, by answers that say it, and by advances whose answers were lost."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self.known = [
            (each.sent.at, each.ended, datetime.fromisoformat(each.answer["now"]))
            for each in exchanges
            if each.sent.operation in ("advanceClock", "getSandbox") and each.is_done
        ]
        self._lost = [
            (each.sent.at, duration(each.sent.body["advance"]))
            for each in exchanges
            if each.sent.operation == "advanceClock" and each.outcome == "unknown"
        ]
        self._jumps = [
            (self.earliest(each.sent.at), self.latest(each.ended))
            for each in exchanges
            if each.sent.operation == "advanceClock" and each.outcome != "refused"
        ]

    @property
    def began(self) -> datetime:
        """The first time that was answered."""
        return min((now for _, _, now in self.known), default=LONG_AGO)

    def after_jump(self, due_at: datetime, accepted_at: datetime) -> datetime:
        """The latest time at which points become active for which a worker is free.

        While the clock is advanced, the time stands still, and jumps at the end. Points that were accepted
        meanwhile become active then, and those due on the way where a worker takes them first.
        """
        ends = [
            to for since, to in self._jumps if since - UNDER_WAY <= accepted_at < to or since <= due_at < to
        ]
        return max([due_at, *ends])

    def earliest(self, at: float) -> datetime:
        """It was at least this time."""
        known = [now + timedelta(seconds=at - ended) for _, ended, now in self.known if ended <= at]
        return max(known, default=LONG_AGO)

    def latest(self, at: float) -> datetime:
        """It was at most this time."""
        before = [(began, now) for began, ended, now in self.known if ended <= at]
        began, base = max(before, default=(at, LONG_AGO), key=lambda each: each[1])
        latest = base + timedelta(seconds=at - began)
        for under_way, ended, now in self.known:
            if under_way <= at < ended:
                latest = max(latest, now)
        lost = (step for sent, step in self._lost if began - STILL_RUNS_S <= sent <= at)
        return latest + sum(lost, timedelta())
