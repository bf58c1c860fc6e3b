"""What one member has of points while time passes: the specification of settlement, expiry and taking back.

Here nothing is late: points become active, end and are released at their own instants.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from msgspec import Struct

from engage.domain.accounts.account import Account, Lot, Take, age
from engage.domain.accounts.balance import Balance
from engage.domain.earning.decide import NewCredit


class SimulatedCredit(Struct):
    """A credit and what has become of it. `pending` is what of it waits for its due time. It shrank by
    `reduced` before that, and `taken_back` was taken after.
    """

    id: UUID
    credit: NewCredit
    pending: int
    due_at: datetime | None
    expires_at: datetime | None
    active: bool = False
    reduced: int = 0
    taken_back: int = 0


class SimulatedHold(Struct):
    """Points set aside. `takes` tell of which lots, oldest first, `given_back` how many came back since."""

    id: UUID
    takes: Sequence[Take]
    discount_minor: int
    expires_at: datetime | None
    state: Literal["open", "captured", "released"] = "open"
    given_back: int = 0

    @property
    def points(self) -> int:
        return sum(take.points for take in self.takes)


class SimulatedAccount:
    """The balance, credits and holds of one member."""

    def __init__(self, *, grace: timedelta) -> None:
        self.account = Account(Balance(), ())
        self.credits: dict[str, SimulatedCredit] = {}  # By source key.
        self.holds: list[SimulatedHold] = []
        self._grace = grace
        self._ids = 0

    def new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=self._ids)

    @property
    def balance(self) -> Balance:
        """Without the number of its changes: those are the ledger's."""
        account = self.account
        return Balance(account.active, account.pending, account.held, account.debt)

    def ending(self) -> list[tuple[datetime | None, int]]:
        """(when, how many) of all active points, the first to end first; None is never."""
        points: dict[datetime | None, int] = {}
        for lot in sorted(self.account.lots.values(), key=age):
            if lot.remaining:
                points[lot.expires_at] = points.get(lot.expires_at, 0) + lot.remaining
        return list(points.items())

    def pass_to(self, at: datetime) -> None:
        """Everything that falls due by `at` happens, in order."""
        while (first := min(self._coming(at), default=None)) is not None:
            moment, _, what = first
            if isinstance(what, SimulatedCredit):
                self._activate(what, moment)
            elif isinstance(what, SimulatedHold):
                self.release(what, moment)
            else:
                self.account.expire(moment)

    def add(self, credit: NewCredit) -> SimulatedCredit:
        kept = SimulatedCredit(self.new_id(), credit, credit.points, credit.due_at, credit.expires_at)
        self.credits[credit.source_key] = kept
        self.account.pending += credit.points
        return kept

    def take_back(self, kept: SimulatedCredit, points: int, at: datetime) -> None:
        """`points` of a credit are gone in all: it shrinks while it is pending, and is clawed back after."""
        more = points - kept.reduced - kept.taken_back
        if more <= 0:
            return
        if kept.active:
            taken = self.account.claw_back(kept.id, more, at, taken_back=kept.taken_back, corrects=None)
            kept.taken_back += taken
        else:
            kept.pending -= more
            kept.reduced += more
            self.account.drop_pending(more)

    def hold(
        self, points: int, at: datetime, *, discount_minor: int = 0, expires_at: datetime | None = None
    ) -> SimulatedHold:
        hold_id = self.new_id()
        takes = self.account.hold(points, hold_id, at) if points else []
        hold = SimulatedHold(hold_id, takes, discount_minor, expires_at)
        self.holds.append(hold)
        return hold

    def capture(self, hold: SimulatedHold, at: datetime) -> None:
        assert hold.state == "open"
        hold.state = "captured"
        if hold.takes:
            self.account.capture(hold.takes, hold.id, at)

    def release(self, hold: SimulatedHold, at: datetime) -> None:
        assert hold.state == "open"
        hold.state = "released"
        if hold.takes:
            self.account.release(hold.takes, hold.id, at)

    def give_back(self, hold: SimulatedHold, points: int, at: datetime) -> None:
        """Spent points come back, `points` in all so far: the newest of the hold first."""
        takes = _newest(hold.takes, hold.given_back, points)
        hold.given_back = max(points, hold.given_back)
        self.account.reinstate(takes, hold.id, at, grace_until=at + self._grace)

    def _coming(self, at: datetime) -> Iterator[tuple[datetime, int, SimulatedCredit | SimulatedHold | None]]:
        """(when, a number that tells one from another, what) of all that falls due by `at`."""
        for n, kept in enumerate(self.credits.values()):
            if kept.pending and kept.due_at is not None and kept.due_at <= at:
                yield kept.due_at, n, kept
        ends = [lot.expires_at for lot in self.account.lots.values() if lot.remaining and lot.expires_at]
        yield from ((end, -1, None) for end in ends if end <= at)
        for n, hold in enumerate(self.holds, start=len(self.credits)):
            if hold.state == "open" and hold.expires_at is not None and hold.expires_at <= at:
                yield hold.expires_at, n, hold

    def _activate(self, kept: SimulatedCredit, at: datetime) -> None:
        points, kept.pending, kept.active = kept.pending, 0, True
        self.account.drop_pending(points)
        lot = Lot(kept.id, points, points, 0, at, kept.expires_at)
        self.account.open_lot(lot, at, kind="earning", out_of="issued")


def _newest(takes: Sequence[Take], skip: int, until: int) -> list[Take]:
    """The points from `skip` to `until`, counted from the newest."""
    found = []
    for take in reversed(takes):
        points = min(take.points, until) - min(take.points, skip)
        if points > 0:
            found.append(Take(take.credit_id, points))
        skip, until = max(0, skip - take.points), max(0, until - take.points)
    return found
