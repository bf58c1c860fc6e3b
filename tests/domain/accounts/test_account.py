"""A member's account: every change of points is a movement, for any operations in any order."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engage.domain.accounts.account import Account
from engage.domain.accounts.balance import Balance
from engage.domain.accounts.lots import Lot, Take, spending_order

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def uuid(number: int) -> UUID:
    return UUID(int=number)


def lot(number: int, points: int, *, ends: int | None = None) -> Lot:
    """Make a lot that is active `number` days after START and ends `ends` days after START."""
    active_at = START + number * DAY
    return Lot(uuid(number), points, points, 0, active_at, None if ends is None else START + ends * DAY)


def account(*lots: Lot, debt: int = 0, held: int = 0) -> Account:
    return Account(Balance(sum(lot.remaining for lot in lots), 0, held, debt), lots)


def remaining(opened: Account) -> list[int]:
    return [lot.remaining for lot in sorted(opened.lots.values(), key=lambda lot: lot.credit_id)]


def kinds(opened: Account) -> list[str]:
    return [movement.kind for movement in opened.movements]


def test_the_lot_that_ends_first_is_spent_first() -> None:
    opened = account(lot(1, 5), lot(2, 5, ends=90), lot(3, 5, ends=80))
    assert opened.hold(7, uuid(99), START) == [Take(uuid(3), 5), Take(uuid(2), 2)]
    assert opened.hold(8, uuid(98), START) == [Take(uuid(2), 3), Take(uuid(1), 5)], "what never ends is last"
    assert (opened.active, opened.held) == (0, 15)


def test_a_lot_expires_once() -> None:
    opened = account(lot(1, 5, ends=10), lot(2, 5, ends=11))
    assert opened.expire(START + 10 * DAY) == 5
    assert opened.expire(START + 10 * DAY) == 0
    assert (opened.active, remaining(opened), kinds(opened)) == (5, [0, 5], ["expiration"])


def test_points_released_into_an_ended_lot_expire_at_once() -> None:
    opened = account(lot(1, 5, ends=10), lot(2, 5))
    takes = opened.hold(7, uuid(99), START)
    opened.release(takes, uuid(99), START + 20 * DAY)
    assert (opened.active, opened.held, remaining(opened)) == (5, 0, [0, 5])
    assert opened.lots[uuid(1)].expired == 5


def test_points_reinstated_into_an_ended_lot_last_for_the_grace() -> None:
    opened = account(lot(1, 5, ends=10), lot(2, 5, ends=90))
    takes = opened.redeem(7, uuid(99), START)
    now = START + 20 * DAY
    opened.reinstate(takes, uuid(99), now, grace_until=now + DAY)
    assert (opened.active, remaining(opened)) == (10, [5, 5])
    assert opened.lots[uuid(1)].expires_at == now + DAY
    assert opened.lots[uuid(2)].expires_at == START + 90 * DAY


def test_a_clawback_of_spent_points_is_a_debt_that_new_points_pay() -> None:
    opened = account(lot(1, 10))
    opened.redeem(8, uuid(99), START)
    assert opened.claw_back(uuid(1), 10, START, taken_back=0, corrects=1) == 10
    assert (opened.active, opened.debt) == (0, 8)
    opened.open_lot(lot(2, 5), START, kind="adjustment", out_of="adjusted", reference="T-1")
    assert (opened.active, opened.debt, remaining(opened)) == (0, 3, [0, 0])
    opened.open_lot(lot(3, 5), START, kind="adjustment", out_of="adjusted", reference="T-2")
    assert (opened.active, opened.debt, remaining(opened)) == (2, 0, [0, 0, 2])


def test_a_clawback_takes_its_own_lot_first_then_the_others_in_spending_order() -> None:
    opened = account(lot(1, 5, ends=10), lot(2, 5, ends=20), lot(3, 5, ends=30))
    opened.claw_back(uuid(2), 3, START, taken_back=0, corrects=1)
    assert remaining(opened) == [5, 2, 5]
    opened.redeem(6, uuid(99), START)
    assert remaining(opened) == [0, 1, 5]
    opened.claw_back(uuid(2), 2, START, taken_back=3, corrects=1)
    assert (remaining(opened), opened.debt) == ([0, 0, 4], 0)


def test_expired_points_are_not_taken_back() -> None:
    opened = account(lot(1, 10, ends=10), lot(2, 10))
    opened.redeem(4, uuid(99), START)
    opened.expire(START + 10 * DAY)
    assert opened.claw_back(uuid(1), 10, START + 10 * DAY, taken_back=0, corrects=1) == 4
    assert opened.claw_back(uuid(1), 6, START + 10 * DAY, taken_back=4, corrects=1) == 0
    assert (opened.active, opened.debt) == (6, 0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.data())
def test_a_hold_takes_exactly_its_points_in_spending_order(sizes: list[int], data: st.DataObject) -> None:
    ends = data.draw(st.lists(st.none() | st.integers(1, 9), min_size=len(sizes), max_size=len(sizes)))
    lots = [lot(n, points, ends=end) for n, (points, end) in enumerate(zip(sizes, ends, strict=True))]
    points = data.draw(st.integers(0, sum(sizes)))
    in_order = [lot.credit_id for lot in sorted(lots, key=spending_order)]
    takes = account(*lots).hold(points, uuid(99), START)
    assert sum(take.points for take in takes) == points
    assert [take.credit_id for take in takes] == in_order[: len(takes)]
    assert all(take.points == sizes[take.credit_id.int] for take in takes[:-1]), (
        "every lot but the last is emptied"
    )


class AccountOperations(RuleBasedStateMachine):
    """Any operations in any order, with the invariants checked after each."""

    @initialize()
    def begin(self) -> None:
        self.account = account()
        self.now = START
        self.number = 0
        self.open: dict[UUID, list[Take]] = {}
        self.spent: dict[UUID, list[Take]] = {}
        self.taken: Counter[UUID] = Counter()

    def next(self) -> UUID:
        self.number += 1
        return uuid(self.number)

    @rule(points=st.integers(1, 50), ends=st.none() | st.integers(1, 9))
    def earn(self, points: int, ends: int | None) -> None:
        end = None if ends is None else self.now + ends * DAY
        born = Lot(self.next(), points, points, 0, self.now, end)
        self.account.open_lot(born, self.now, kind="opening", out_of="opening")

    @rule(days=st.integers(0, 5))
    def wait(self, days: int) -> None:
        self.now += days * DAY
        self.account.expire(self.now)

    @precondition(lambda self: self.account.active)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        hold_id = self.next()
        points = data.draw(st.integers(1, self.account.active))
        self.open[hold_id] = self.account.hold(points, hold_id, self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), capture=st.booleans())
    def end(self, data: st.DataObject, capture: bool) -> None:
        hold_id = data.draw(st.sampled_from(sorted(self.open)))
        takes = self.open.pop(hold_id)
        if capture:
            self.account.capture(takes, hold_id, self.now)
            self.spent[hold_id] = takes
        else:
            self.account.release(takes, hold_id, self.now)

    @precondition(lambda self: self.account.active)
    @rule(data=st.data())
    def redeem(self, data: st.DataObject) -> None:
        hold_id = self.next()
        points = data.draw(st.integers(1, self.account.active))
        self.spent[hold_id] = self.account.redeem(points, hold_id, self.now)

    @precondition(lambda self: self.spent)
    @rule(data=st.data())
    def reinstate(self, data: st.DataObject) -> None:
        hold_id = data.draw(st.sampled_from(sorted(self.spent)))
        self.account.reinstate(self.spent.pop(hold_id), hold_id, self.now, grace_until=self.now + 2 * DAY)

    @precondition(lambda self: self.account.lots)
    @rule(data=st.data())
    def claw_back(self, data: st.DataObject) -> None:
        credit_id = data.draw(st.sampled_from(sorted(self.account.lots)))
        granted = self.account.lots[credit_id].points
        points = data.draw(st.integers(0, granted - self.taken[credit_id]))
        gone = self.account.claw_back(
            credit_id, points, self.now, taken_back=self.taken[credit_id], corrects=1
        )
        assert 0 <= gone <= points
        self.taken[credit_id] += gone

    @precondition(lambda self: self.account.active)
    @rule(data=st.data())
    def deduct(self, data: st.DataObject) -> None:
        points = data.draw(st.integers(1, self.account.active))
        self.account.deduct(points, self.now, kind="adjustment", into="adjusted", reference="T-1")

    @invariant()
    def lots_and_holds_add_up_to_the_balance(self) -> None:
        lots = self.account.lots.values()
        assert sum(lot.remaining for lot in lots) == self.account.active
        assert all(0 <= lot.remaining <= lot.points - lot.expired for lot in lots)
        assert sum(take.points for takes in self.open.values() for take in takes) == self.account.held

    @invariant()
    def debt_and_active_points_exclude_each_other(self) -> None:
        assert not (self.account.active and self.account.debt)

    @invariant()
    def movements_add_up_to_the_balance(self) -> None:
        moves = self.account.movements
        assert sum(movement.active for movement in moves) == self.account.active
        assert sum(movement.held for movement in moves) == self.account.held
        assert sum(movement.debt for movement in moves) == self.account.debt
        if moves:
            assert moves[-1].balance_after == self.account.active

    @invariant()
    def moves_add_up_to_the_rest_of_each_lot(self) -> None:
        listed: Counter[UUID] = Counter()
        for movement in self.account.movements:
            if movement.credit_id is not None and movement.kind != "clawback":
                listed[movement.credit_id] += movement.active
            for move in movement.moves:
                listed[move.credit_id] += move.active
        assert all(listed[lot.credit_id] == lot.remaining for lot in self.account.lots.values())


test_movements_account_for_every_point_whatever_the_operations = AccountOperations.TestCase
