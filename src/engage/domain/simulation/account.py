"""A simulated member's points: the specification of settlement, expiration and clawback.

Nothing is late here: points become active, expire and are released at their own instants.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from msgspec import Struct, field

from engage.domain.accounts.account import Account
from engage.domain.accounts.balance import Balance
from engage.domain.accounts.lots import Lot, Take, spending_order
from engage.domain.earning.boost import Boost, beside
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.unit import STATUS
from engage.domain.keys import boosted_key


class SimulatedCredit(Struct):
    """A credit as it was granted, and its state. `pending` points wait for `due_at`; without one, they are
    lost at `new.lapses_at`.

    `reduced`: taken away while pending, or of status. `taken_back`: clawed back after the credit became
    active. `losses` are all of it, each with its time.
    """

    id: UUID
    new: NewCredit
    pending: int
    due_at: datetime | None
    expires_at: datetime | None
    active: bool = False
    reduced: int = 0
    taken_back: int = 0
    losses: list[tuple[datetime, int]] = field(default_factory=list)

    @property
    def kept(self) -> int:
        return self.new.points - self.reduced - self.taken_back


class SimulatedHold(Struct):
    """Points set aside. `takes` are the lots they came from, oldest first; `given_back` points returned
    later.
    """

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
        self.boosts_of: Callable[[NewCredit], Sequence[Boost]] = lambda credit: ()
        self._grace = grace
        self._ids = 0

    def new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=self._ids)

    @property
    def balance(self) -> Balance:
        """Without a version: versions are the ledger's."""
        account = self.account
        return Balance(account.active, account.pending, account.held, account.debt)

    @property
    def taken_back(self) -> int:
        """The points that credits have lost, before or after they became active."""
        return sum(credit.reduced + credit.taken_back for credit in self.credits.values())

    def expiring(self) -> list[tuple[datetime | None, int]]:
        """(end, points) of all active points, the earliest end first; None is never."""
        points: dict[datetime | None, int] = {}
        for lot in sorted(self.account.lots.values(), key=spending_order):
            if lot.remaining:
                points[lot.expires_at] = points.get(lot.expires_at, 0) + lot.remaining
        return list(points.items())

    def advance(self, at: datetime) -> None:
        """Do everything that falls due by `at`, in order."""
        while (first := min(self._due(at), default=None)) is not None:
            moment, _, subject = first
            match subject:
                case SimulatedCredit(due_at=None):
                    self.take_back(subject, subject.new.points, moment)
                case SimulatedCredit():
                    self._activate(subject, moment)
                case SimulatedHold():
                    self.release(subject, moment)
                case None:
                    self.account.expire(moment)

    def add(self, credit: NewCredit, boosts: Sequence[Boost] | None = None) -> SimulatedCredit:
        """Add a credit with what these boosts add beside it; without them, those of its activity."""
        found = self.boosts_of(credit) if boosts is None else boosts
        added = self._add(credit)
        for boosted, _ in beside(credit, found):
            self._add(boosted)
        return added

    def _add(self, credit: NewCredit) -> SimulatedCredit:
        added = SimulatedCredit(self.new_id(), credit, credit.points, credit.due_at, credit.expires_at)
        self.credits[credit.source_key] = added
        if credit.unit != STATUS:
            self.account.pending += credit.points
        return added

    def take_back(self, credit: SimulatedCredit, points: int, at: datetime) -> None:
        """Take back `points` of a credit in all, including earlier calls, as pending or by clawback."""
        if points == credit.new.points:
            for boosted in self._beside(credit):
                self.take_back(boosted, boosted.new.points, at)
        more = points - credit.reduced - credit.taken_back
        if more <= 0:
            return
        credit.losses.append((at, more))
        if credit.new.unit == STATUS:
            credit.pending, credit.reduced = max(0, credit.pending - more), credit.reduced + more
        elif credit.active:
            taken = self.account.claw_back(credit.id, more, at, taken_back=credit.taken_back, corrects=None)
            credit.taken_back += taken
        else:
            credit.pending -= more
            credit.reduced += more
            self.account.drop_pending(more)

    def _beside(self, credit: SimulatedCredit) -> list[SimulatedCredit]:
        key = boosted_key(credit.new.source_key, "")
        return [other for other in self.credits.values() if other.new.source_key.startswith(key)]

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

    def redeem(self, points: int, at: datetime) -> UUID:
        """Exchange points for a reward; the id of the redemption."""
        redemption = self.new_id()
        self.account.redeem(points, redemption, at)
        return redemption

    def reinstate(self, hold: SimulatedHold, points: int, at: datetime) -> None:
        """Give back spent points, `points` in all, earlier calls included: the newest of the hold first."""
        takes = _newest(hold.takes, hold.given_back, points)
        hold.given_back = max(points, hold.given_back)
        self.account.reinstate(takes, hold.id, at, grace_until=at + self._grace)

    def _due(self, at: datetime) -> Iterator[tuple[datetime, int, SimulatedCredit | SimulatedHold | None]]:
        """(time, order among equal times, credit, hold, or None for an expiration) of all that is due by
        `at`.
        """
        for n, credit in enumerate(self.credits.values()):
            if credit.pending and credit.due_at is not None and credit.due_at <= at:
                yield credit.due_at, n, credit
            lapses_at = credit.new.lapses_at
            if credit.pending and credit.due_at is None and lapses_at is not None and lapses_at <= at:
                yield lapses_at, n, credit
        ends = [lot.expires_at for lot in self.account.lots.values() if lot.remaining and lot.expires_at]
        yield from ((end, -1, None) for end in ends if end <= at)
        for n, hold in enumerate(self.holds, start=len(self.credits)):
            if hold.state == "open" and hold.expires_at is not None and hold.expires_at <= at:
                yield hold.expires_at, n, hold

    def _activate(self, credit: SimulatedCredit, at: datetime) -> None:
        points, credit.pending, credit.active = credit.pending, 0, True
        if credit.new.unit == STATUS:
            return
        self.account.drop_pending(points)
        lot = Lot(credit.id, points, points, 0, at, credit.expires_at)
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
