"""A member's account: what each operation does to the balance and to its lots. Pure arithmetic.

Points are spent oldest first: from the lot that ends first. What is owed is paid before anything can be spent
again, so a debt and spendable points never stand side by side. Every operation writes down the movements that
it makes; `engage.ledger.accounts` posts them, one entry a movement.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from engage.domain.accounts.balance import Balance

EntryKind = Literal[
    "earning",
    "recovery",
    "expiration",
    "clawback",
    "hold",
    "release",
    "capture",
    "redemption",
    "reinstatement",
    "adjustment",
    "opening",
    "transfer",
]

# Where points come from and go to. `issued`: granted, or taken back from; `expired` is breakage.
HouseAccount = Literal["issued", "redeemed", "withdrawn", "expired", "adjusted", "opening", "transferred"]


class Lot(Struct):
    """The dated remainder of a credit. `expired` is how much of it ended unspent."""

    credit_id: UUID
    points: int
    remaining: int
    expired: int
    active_at: datetime
    expires_at: datetime | None


class LotMove(Struct, frozen=True):
    """What a movement does to one lot: `active` to what can be spent of it, `held` to what holds keep.

    `expires_at` is the lot's new end, where the movement gave it one.
    """

    credit_id: UUID
    active: int = 0
    held: int = 0
    expires_at: datetime | None = None


class Movement(Struct, frozen=True, kw_only=True):
    """An entry to be: active + held - debt + house = 0. `moves` tell what becomes of which lot."""

    kind: EntryKind
    at: datetime
    active: int = 0
    held: int = 0
    debt: int = 0
    house: int = 0
    house_account: HouseAccount | None = None
    credit_id: UUID | None = None
    corrects: int | None = None
    hold_id: UUID | None = None
    reference: str | None = None
    moves: tuple[LotMove, ...] = ()
    balance_after: int

    def __post_init__(self) -> None:
        assert self.active + self.held - self.debt + self.house == 0
        assert (self.house == 0) == (self.house_account is None)


class Take(Struct, frozen=True):
    """So many points of a lot."""

    credit_id: UUID
    points: int


class Account:
    """A member's balance and lots while operations are worked out. `new_lots` are those it began itself."""

    def __init__(self, balance: Balance, lots: Iterable[Lot]) -> None:
        self.opened = balance
        self.active = balance.active
        self.pending = balance.pending
        self.held = balance.held
        self.debt = balance.debt
        self.lots = {lot.credit_id: lot for lot in lots}
        self.new_lots: list[Lot] = []
        self.movements: list[Movement] = []

    @property
    def changed(self) -> bool:
        return bool(self.movements) or self.pending != self.opened.pending

    def drop_pending(self, points: int) -> None:
        """Pending points that will not become active."""
        self.pending -= points
        assert self.pending >= 0

    def add_pending(self, points: int) -> None:
        """Pending points that another account had."""
        self.pending += points

    def expire(self, at: datetime) -> int:
        """Ends what remains of lots whose time has come by `at`; how many points. Comes before all else, so
        that nothing is spent after its end, however late the sweep is.
        """
        ended = 0
        for lot in self._in_order():
            if lot.expires_at is None or lot.expires_at > at:
                break
            points, lot.remaining = lot.remaining, 0
            lot.expired += points
            ended += points
            self._move("expiration", at, active=-points, house_account="expired", credit_id=lot.credit_id)
        return ended

    def hold(self, points: int, hold_id: UUID, at: datetime) -> list[Take]:
        """Sets aside points that can be spent: `points` is at most `active`."""
        takes = self._take(points)
        moves = [LotMove(take.credit_id, -take.points, take.points) for take in takes]
        self._move("hold", at, active=-points, held=points, hold_id=hold_id, moves=moves)
        return takes

    def capture(
        self, takes: Sequence[Take], hold_id: UUID, at: datetime, *, into: HouseAccount = "redeemed"
    ) -> None:
        """What was held is spent. Coupons alone are no movement of points."""
        points = sum(take.points for take in takes)
        if not points:
            return
        moves = [LotMove(take.credit_id, held=-take.points) for take in takes]
        self._move("capture", at, held=-points, house_account=into, hold_id=hold_id, moves=moves)

    def release(self, takes: Sequence[Take], hold_id: UUID, at: datetime) -> None:
        """What was held goes back to its lots. One that has ended meanwhile ends at once."""
        points = sum(take.points for take in takes)
        if not points:
            return
        moves = [LotMove(take.credit_id, take.points, -take.points) for take in takes]
        self._give(takes)
        self._move("release", at, active=points, held=-points, hold_id=hold_id, moves=moves)
        self.expire(at)
        self._recover(at)

    def redeem(self, points: int, hold_id: UUID, at: datetime) -> list[Take]:
        """Spends points at once: `points` is at most `active`."""
        takes = self._take(points)
        moves = [LotMove(take.credit_id, -take.points) for take in takes]
        self._move("redemption", at, active=-points, house_account="redeemed", hold_id=hold_id, moves=moves)
        return takes

    def reinstate(
        self,
        takes: Sequence[Take],
        hold_id: UUID,
        at: datetime,
        *,
        grace_until: datetime,
        out_of: HouseAccount = "redeemed",
        reference: str | None = None,
    ) -> None:
        """Spent points go back to the lots they came from; where one has ended, until `grace_until`."""
        points = sum(take.points for take in takes)
        if not points:
            return
        moves = []
        for take in takes:
            lot = self.lots[take.credit_id]
            ended = lot.expires_at is not None and lot.expires_at <= at
            if ended:
                lot.expires_at = grace_until
            moves.append(LotMove(take.credit_id, take.points, expires_at=grace_until if ended else None))
        self._give(takes)
        self._move(
            "reinstatement",
            at,
            active=points,
            house_account=out_of,
            hold_id=hold_id,
            moves=moves,
            reference=reference,
        )
        self._recover(at)

    def claw_back(
        self,
        credit_id: UUID,
        points: int,
        at: datetime,
        *,
        taken_back: int,
        corrects: int | None,
        reference: str | None = None,
    ) -> int:
        """Takes earned points of a credit back: from its own lot, then from the oldest, and what is not there
        is owed. `taken_back` is what was taken of the credit before. Returns how many: what of its lot has
        expired is gone already, and not taken again.
        """
        lot = self.lots[credit_id]
        points = min(points, lot.points - lot.expired - taken_back)
        if points <= 0:
            return 0
        takes = self._take_first(lot, min(points, self.active))
        taken = sum(take.points for take in takes)
        self._move(
            "clawback",
            at,
            active=-taken,
            debt=points - taken,
            house_account="issued",
            credit_id=credit_id,
            corrects=corrects,
            moves=[LotMove(take.credit_id, -take.points) for take in takes],
            reference=reference,
        )
        return points

    def take_out(
        self, points: int, at: datetime, *, kind: EntryKind, into: HouseAccount, reference: str
    ) -> None:
        """An operator's correction downwards, or a transfer: `points` is at most `active`."""
        moves = [LotMove(take.credit_id, -take.points) for take in self._take(points)]
        self._move(kind, at, active=-points, house_account=into, moves=moves, reference=reference)

    def open_lot(
        self,
        lot: Lot,
        at: datetime,
        *,
        kind: EntryKind,
        out_of: HouseAccount,
        reference: str | None = None,
    ) -> None:
        """Points that are active at once, with a lot of their own; what is owed is paid of them."""
        assert lot.remaining == lot.points
        self.lots[lot.credit_id] = lot
        self.new_lots.append(lot)
        self.active += lot.points
        # The lot itself tells of its first points: its moves begin with what happens to them.
        self._write(
            Movement(
                kind=kind,
                at=at,
                active=lot.points,
                house=-lot.points,
                house_account=out_of,
                credit_id=lot.credit_id,
                reference=reference,
                balance_after=self.active,
            )
        )
        self._recover(at)

    def move_in(
        self, lot: Lot, spent: Sequence[tuple[UUID | None, int]], at: datetime, *, reference: str
    ) -> None:
        """A lot of another account goes on in this one as it is: all its points come, and what was spent of
        them before goes, by hold, so that it can be reinstated or taken back here as it could there.

        Whoever moves lots in says at the end what is owed (`owe`).
        """
        assert sum(points for _, points in spent) == lot.points - lot.remaining
        self.lots[lot.credit_id] = lot
        self.new_lots.append(lot)
        self._move(
            "transfer",
            at,
            active=lot.points,
            house_account="transferred",
            credit_id=lot.credit_id,
            reference=reference,
        )
        for hold_id, points in spent:
            self._move(
                "transfer",
                at,
                active=-points,
                house_account="transferred",
                hold_id=hold_id,
                moves=[LotMove(lot.credit_id, -points)],
                reference=reference,
            )

    def owe(self, points: int, at: datetime, *, kind: EntryKind, into: HouseAccount, reference: str) -> None:
        """So much more is owed, or less; what can be paid of it is paid at once."""
        if points:
            self._move(kind, at, debt=points, house_account=into, reference=reference)
        self._recover(at)

    def _recover(self, at: datetime) -> None:
        points = min(self.debt, self.active)
        if points:
            moves = [LotMove(take.credit_id, -take.points) for take in self._take(points)]
            self._move("recovery", at, active=-points, debt=-points, moves=moves)

    def _in_order(self) -> list[Lot]:
        """The lots that have something left, oldest first: what ends first is spent first."""
        return sorted((lot for lot in self.lots.values() if lot.remaining), key=age)

    def _take(self, points: int) -> list[Take]:
        assert 0 <= points <= self.active
        takes = []
        for lot in self._in_order():
            if not points:
                break
            part = min(points, lot.remaining)
            lot.remaining -= part
            points -= part
            takes.append(Take(lot.credit_id, part))
        assert not points
        return takes

    def _take_first(self, lot: Lot, points: int) -> list[Take]:
        own = min(points, lot.remaining)
        lot.remaining -= own
        takes = [Take(lot.credit_id, own)] if own else []
        if points > own:
            takes += self._take(points - own)
        return takes

    def _give(self, takes: Sequence[Take]) -> None:
        for take in takes:
            self.lots[take.credit_id].remaining += take.points

    def _move(
        self,
        kind: EntryKind,
        at: datetime,
        *,
        active: int = 0,
        held: int = 0,
        debt: int = 0,
        house_account: HouseAccount | None = None,
        credit_id: UUID | None = None,
        corrects: int | None = None,
        hold_id: UUID | None = None,
        reference: str | None = None,
        moves: Sequence[LotMove] = (),
    ) -> None:
        self.active += active
        self.held += held
        self.debt += debt
        house = debt - active - held
        self._write(
            Movement(
                kind=kind,
                at=at,
                active=active,
                held=held,
                debt=debt,
                house=house,
                house_account=house_account if house else None,
                credit_id=credit_id,
                corrects=corrects,
                hold_id=hold_id,
                reference=reference,
                moves=tuple(moves),
                balance_after=self.active,
            )
        )

    def _write(self, movement: Movement) -> None:
        assert self.active >= 0 and self.held >= 0 and self.debt >= 0  # noqa: PT018  # One promise.
        self.movements.append(movement)


def age(lot: Lot) -> tuple[bool, datetime, datetime, UUID]:
    """What lots are sorted by: that which ends first comes first, and what never ends comes last."""
    return lot.expires_at is None, lot.expires_at or lot.active_at, lot.active_at, lot.credit_id
