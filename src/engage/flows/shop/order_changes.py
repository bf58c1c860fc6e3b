"""An order's update: what its facts say that the ledger should have, beside what it has."""

from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.earning.order_facts import Facts
from engage.domain.earning.order_returns import reinstated
from engage.domain.earning.orders import Standing, standing
from engage.domain.keys import MemberKey, OrderKey
from engage.domain.program.program import Program
from engage.ledger.accept import CreditToAccept
from engage.ledger.corrections import LockedCredit
from engage.ledger.holds import Hold
from engage.runtime.ids import new_id
from engage.runtime.services import Services


class OrderUpdate(Struct, frozen=True):
    """An order that is locked, and what was known of it before and is now. `again` where nothing new is, but
    what it was paid with may have come to be spent only now.
    """

    key: OrderKey
    before: Facts
    after: Facts
    again: bool = False

    @property
    def member(self) -> MemberKey:
        return self.key[:2]

    @property
    def is_new(self) -> bool:
        """Whether the payment is what became known."""
        return self.before.paid is None

    @property
    def comes_back(self) -> bool:
        """Whether anything of it is back, or was never sent."""
        return bool(self.after.returns) or self.after.cancelled_at is not None

    @property
    def reference(self) -> str:
        """What entries say took the points back: the newest of the returns, or that all is off."""
        if self.after.cancelled_at is None or self.after.returns != self.before.returns:
            return f"return:{self.after.returns[-1].return_id}"
        return f"cancelled:{self.key[2]}"


class OrderChanges(Struct):
    """One update: what should be, and what the ledger has."""

    update: OrderUpdate
    program: Program | None  # That decides about it, once it is paid.
    grace: timedelta  # For points that come back to lots that have ended.
    standings: dict[str, Standing] = {}  # By rule.
    credits: list[LockedCredit] = []
    holds: list[Hold] = []
    accepting: list[CreditToAccept] = []

    @property
    def member(self) -> MemberKey:
        return self.update.member

    @property
    def moves(self) -> bool:
        """Whether points or coupons go one way or the other, besides new credits, or may: a hold that is open
        may be captured at this moment.
        """
        return bool(self.losing()) or any(self.gives(hold) or hold.state == "open" for hold in self.holds)

    def losing(self) -> list[LockedCredit]:
        return [credit for credit in self.credits if credit.loses(self.standings[credit.rule_id].kept)]

    def gives(self, hold: Hold) -> bool:
        """Whether something of what a hold had goes back to the member."""
        back = self.update.after.is_back
        match hold.state:
            case "open":
                return back
            case "captured":
                first = self.update.again or not self.update.before.is_back
                return self.due_back(hold) > hold.reinstated or (back and first)
            case _:
                return False

    def due_back(self, hold: Hold) -> int:
        """How many points of a captured hold are the member's again, by all that has come back so far."""
        facts = self.update.after
        if facts.is_back:
            return hold.points
        if self.program is None or facts.paid is None:
            return 0
        return reinstated(hold.points, facts.paid.order, facts.returned(), paying=self.program.paying_scope)

    def dated(self, credit: LockedCredit) -> LockedCredit:
        """The credit with the due time that its delivery gives it."""
        due = self.standings[credit.rule_id]
        if credit.state != "pending" or self.update.after.delivered_at is None:
            return credit
        return replace(credit, due_at=due.due_at, expires_at=due.expires_at)


async def changes_of(services: Services, update: OrderUpdate) -> OrderChanges:
    """What should be. Raises Unavailable."""
    paid = update.after.paid
    if paid is None:
        return OrderChanges(update, None, services.programs.versions(update.key[0])[-1].grace)
    program = await _version(services, update.key[0], paid.version)
    standings = standing(
        program.earning,
        paid.order,
        at=paid.at,
        zone=paid.zone,
        delivered_at=update.after.delivered_at,
        returned=update.after.returned(),
    )
    order = OrderChanges(update, program, program.grace, {one.credit.rule_id: one for one in standings})
    if update.is_new:
        order.accepting = [_accepting(update, one) for one in standings]
        order.credits = [_born(one) for one in order.accepting]
    return order


async def _version(services: Services, program_id: str, name: str) -> Program:
    """Another process may have decided by a version that has not been seen here yet."""
    for _ in range(2):
        for version in services.programs.versions(program_id):
            if version.version == name:
                return version
        await services.programs.refresh(services.db)
    raise AssertionError(f"version {name} of {program_id} decided, and is not published")


def _accepting(update: OrderUpdate, one: Standing) -> CreditToAccept:
    """The credit as it was decided, due by the delivery where that came first. It loses afterwards, for all
    to see, what came back before it.
    """
    credit = replace(one.credit, due_at=one.due_at, expires_at=one.expires_at)
    return CreditToAccept(*update.member, new_id(), credit)


def _born(one: CreditToAccept) -> LockedCredit:
    credit = one.credit
    assert credit.reference is not None
    return LockedCredit(
        program_id=one.program_id,
        member_id=one.member_id,
        id=one.id,
        reference=credit.reference,
        rule_id=credit.rule_id,
        state="pending",
        points=credit.points,
        taken_back=0,
        due_at=credit.due_at,
        expires_at=credit.expires_at,
    )
