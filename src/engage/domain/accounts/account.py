"""A member's account: the effect of each operation on the balance and its lots. Pure arithmetic.

Points are spent in the order in which lots end. A debt is paid before anything can be spent, so a debt and
spendable points never exist together. Each operation records its movements; `engage.ledger.accounts` posts
them, one entry each.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from engage.domain.accounts.balance import Balance
from engage.domain.accounts.lots import Lot, LotMove, Take, spending_order
from engage.domain.accounts.movements import EntryKind, HouseAccount, Movement


class Account:
    """A member's balance and lots. Each operation changes them and appends its movements to `movements`.

    `opened` is the balance before the operations; `new_lots` are the lots that they added.
    """

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
        """Remove pending points that will not become active."""
        self.pending -= points
        assert self.pending >= 0

    def add_pending(self, points: int) -> None:
        """Add pending points of another account."""
        self.pending += points

    def expire(self, at: datetime) -> int:
        """Expire the remainders of lots that end by `at`. Returns the points.

        Call it before any other operation, so that nothing is spent after its end, however late the sweep is.
        """
        ended = 0
        for lot in self._spendable():
            if lot.expires_at is None or lot.expires_at > at:
                break
            points, lot.remaining = lot.remaining, 0
            lot.expired += points
            ended += points
            self._move("expiration", at, active=-points, house_account="expired", credit_id=lot.credit_id)
        return ended

    def hold(self, points: int, hold_id: UUID, at: datetime) -> list[Take]:
        """Set spendable points aside: `points` is at most `active`."""
        takes = self._take(points)
        moves = [LotMove(take.credit_id, -take.points, take.points) for take in takes]
        self._move("hold", at, active=-points, held=points, hold_id=hold_id, moves=moves)
        return takes

    def capture(
        self, takes: Sequence[Take], hold_id: UUID, at: datetime, *, into: HouseAccount = "redeemed"
    ) -> None:
        """Spend held points. A hold of coupons alone moves none."""
        points = sum(take.points for take in takes)
        if not points:
            return
        moves = [LotMove(take.credit_id, held=-take.points) for take in takes]
        self._move("capture", at, held=-points, house_account=into, hold_id=hold_id, moves=moves)

    def release(self, takes: Sequence[Take], hold_id: UUID, at: datetime) -> None:
        """Return held points to their lots. Those of a lot that has ended meanwhile expire at once."""
        points = sum(take.points for take in takes)
        if not points:
            return
        moves = [LotMove(take.credit_id, take.points, -take.points) for take in takes]
        self._give(takes)
        self._move("release", at, active=points, held=-points, hold_id=hold_id, moves=moves)
        self.expire(at)
        self._recover(at)

    def redeem(self, points: int, hold_id: UUID, at: datetime) -> list[Take]:
        """Spend points at once: `points` is at most `active`."""
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
        """Return spent points to their lots; a lot that has ended gets `grace_until` as its end."""
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
        """Take earned points of a credit back: from its own lot, then in spending order, the rest as a debt.

        `taken_back` points of the credit were taken back before. Returns the points: the expired part of the
        lot is gone already and not taken again.
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

    def deduct(
        self, points: int, at: datetime, *, kind: EntryKind, into: HouseAccount, reference: str
    ) -> None:
        """Take spendable points away: `points` is at most `active`."""
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
        """Add a lot of points that are active at once. They pay the debt first."""
        assert lot.remaining == lot.points
        self.lots[lot.credit_id] = lot
        self.new_lots.append(lot)
        self.active += lot.points
        # No lot move: the lot itself records its first points.
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

    def transfer_in(
        self, lot: Lot, spent: Sequence[tuple[UUID | None, int]], at: datetime, *, reference: str
    ) -> None:
        """Add a lot of another account as it is: all its points, then what was spent of them, by hold, so
        that they can be reinstated or taken back here as they could there.

        After the last lot, call `add_debt`, even with 0 points.
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

    def add_debt(
        self, points: int, at: datetime, *, kind: EntryKind, into: HouseAccount, reference: str
    ) -> None:
        """Increase the debt, or decrease it, and pay what can be paid of it."""
        if points:
            self._move(kind, at, debt=points, house_account=into, reference=reference)
        self._recover(at)

    def _recover(self, at: datetime) -> None:
        points = min(self.debt, self.active)
        if points:
            moves = [LotMove(take.credit_id, -take.points) for take in self._take(points)]
            self._move("recovery", at, active=-points, debt=-points, moves=moves)

    def _spendable(self) -> list[Lot]:
        """The lots with a remainder, in spending order."""
        return sorted((lot for lot in self.lots.values() if lot.remaining), key=spending_order)

    def _take(self, points: int) -> list[Take]:
        assert 0 <= points <= self.active
        takes = []
        for lot in self._spendable():
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
        assert self.active >= 0 and self.held >= 0 and self.debt >= 0  # noqa: PT018  # One invariant.
        self.movements.append(movement)
