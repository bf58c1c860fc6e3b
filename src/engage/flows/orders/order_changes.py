"""The difference between what an order's facts say and what the ledger has."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.earning.credit import NewCredit
from engage.domain.earning.first_orders import Place, in_place
from engage.domain.earning.order_facts import OrderFacts
from engage.domain.earning.order_returns import reinstated
from engage.domain.earning.orders import Standing, standing
from engage.domain.earning.terms import EarningTerms
from engage.domain.keys import MemberKey, OrderKey
from engage.domain.program.program import Program
from engage.ledger.accept import CreditToAccept
from engage.ledger.corrections import LockedCredit
from engage.ledger.holds import Hold
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.runtime.terms import terms_named


class OrderUpdate(Struct, frozen=True):
    """The facts of a locked order before and after. `again`: there may be no new facts, but points that
    paid for it may have been captured, or come from a merged account, only now.

    `earns`: a new payment earns points, for it is no older than the membership. `reason` is the reference
    of entries that take points back, where no return or cancellation does. `places` are those of this
    order among the first, by rule, where the ledger says otherwise. `decided` are the credits of a new
    payment, where its terms have just decided them.
    """

    key: OrderKey
    before: OrderFacts
    after: OrderFacts
    again: bool = False
    reason: str | None = None
    earns: bool = True
    places: Mapping[str, Place] = {}
    decided: Sequence[NewCredit] | None = None

    @property
    def member(self) -> MemberKey:
        return self.key[:2]

    @property
    def is_new(self) -> bool:
        """True if the order was not paid before."""
        return self.before.paid is None

    @property
    def takes_back(self) -> bool:
        """True if points may go back: something was returned, or the order was cancelled, or its payment
        does not count any more.
        """
        dropped = self.before.paid is not None and self.after.paid is None
        return dropped or bool(self.after.returns) or self.after.cancelled_at is not None

    @property
    def reference(self) -> str:
        """The reference of entries that take points back: the newest return, or the cancellation."""
        if self.reason is not None:
            return self.reason
        if self.after.cancelled_at is None or self.after.returns != self.before.returns:
            return f"return:{self.after.returns[-1].return_id}"
        return f"cancelled:{self.key[2]}"


class OrderChanges(Struct):
    """The state that an order should have (`standings`, `new_credits`) and has (`credits`, `holds`).

    `program` is the version that decides, None until the order is paid. `grace` is for points that go back to
    lots which have expired. `standings` are by rule and boost.
    """

    update: OrderUpdate
    program: Program | None
    grace: timedelta
    standings: dict[tuple[str, str | None], Standing] = {}
    credits: list[LockedCredit] = []
    holds: list[Hold] = []
    new_credits: list[CreditToAccept] = []

    @property
    def member(self) -> MemberKey:
        return self.update.member

    @property
    def changes_balance(self) -> bool:
        """True if points or coupons have to move, besides new credits."""
        return bool(self.losing_credits()) or any(self.gives_back(hold) for hold in self.holds)

    def has_lost_place(self, credit: LockedCredit) -> bool:
        """True if the order is not one of the first any more, which the credit was for."""
        place = self.update.places.get(credit.rule_id)
        return place is not None and place.due_at is None

    def losing_credits(self) -> list[LockedCredit]:
        return [credit for credit in self.credits if credit.loses(self.kept(credit))]

    def kept(self, credit: LockedCredit) -> int:
        """The points that a credit keeps: none if the facts do not grant it, such as the second one of an
        order that two merged members had paid.
        """
        granted = self.standings.get((credit.rule_id, credit.beside))
        return 0 if granted is None else granted.kept

    def gives_back(self, hold: Hold) -> bool:
        """True if points or coupons of a hold go back to the member."""
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
        """The points of a captured hold that all returns so far give back."""
        facts = self.update.after
        if facts.is_back:
            return hold.points
        if self.program is None or facts.paid is None:
            return 0
        return reinstated(hold.points, facts.paid.order, facts.returned(), paying=self.program.paying_scope)

    def with_due_time(self, credit: LockedCredit) -> LockedCredit:
        """The credit with the due time that follows from the delivery, or from its place."""
        standing = self.standings.get((credit.rule_id, credit.beside))
        if credit.state != "pending" or standing is None or standing.due_at is None:
            return credit
        return replace(credit, due_at=standing.due_at, expires_at=standing.expires_at)


class _Deciding(Struct, frozen=True):
    """The rules that decide about orders: a program version, and its terms with the rules of campaigns."""

    program: Program
    terms: EarningTerms


async def changes_of(services: Services, updates: Sequence[OrderUpdate]) -> list[OrderChanges]:
    """Derive the state that each order should have. The caller reads the ledger's. Raises Unavailable."""
    deciding: dict[tuple[str, str], _Deciding] = {}
    for update in updates:
        paid = update.after.paid
        if paid is not None and (update.key[0], paid.version) not in deciding:
            name = update.key[0], paid.version
            program = await services.programs.version(services.db, *name)
            deciding[name] = _Deciding(program, await terms_named(services, *name))
    return [_changes(services, update, deciding) for update in updates]


def _changes(
    services: Services, update: OrderUpdate, deciding: Mapping[tuple[str, str], _Deciding]
) -> OrderChanges:
    paid = update.after.paid
    if paid is None:
        return OrderChanges(update, None, services.programs.versions(update.key[0])[-1].grace)
    decides = deciding[update.key[0], paid.version]
    program, terms = decides.program, decides.terms
    standings = standing(
        terms,
        paid.order,
        at=paid.at,
        zone=paid.zone,
        delivered_at=update.after.delivered_at,
        returned=update.after.returned() if update.takes_back else None,
        boosts=paid.boosts,
        decided=update.decided,
    )
    limited = terms.rules.first_orders
    if limited:
        standings = [
            _in_its_place(terms, update, item) if item.credit.rule_id in limited else item
            for item in standings
        ]
    by_name = {(item.credit.rule_id, item.credit.beside): item for item in standings}
    order = OrderChanges(update, program, program.grace, by_name)
    new = [
        item
        for item in standings
        if (
            item.credit.rule_id in update.places and item.due_at is not None
            if item.credit.rule_id in limited
            else update.is_new and update.earns
        )
    ]
    if new:
        order.new_credits = _new_credits(update, new)
    # New credits are what the facts say, unless something was returned before the payment was known.
    if update.takes_back or not update.is_new:
        order.credits = [_as_locked(credit) for credit in order.new_credits]
    return order


def _in_its_place(terms: EarningTerms, update: OrderUpdate, item: Standing) -> Standing:
    """The standing of a credit for the first orders. Where nothing is said of its place, its due time is not
    known here: the other orders of the member decide it.
    """
    if item.credit.rule_id not in update.places:
        return replace(item, due_at=None, expires_at=None)
    return in_place(terms, item, update.places[item.credit.rule_id])


def _new_credits(update: OrderUpdate, standings: Sequence[Standing]) -> list[CreditToAccept]:
    """The credits with all their points, due by the delivery if that came first. Earlier returns are taken
    from them afterwards, so that their history shows them. What boosts add comes with its base.
    """
    bases: dict[str, UUID] = {}
    rows = []
    for item in standings:
        credit = item.credit
        if (credit.due_at, credit.expires_at) != (item.due_at, item.expires_at):
            credit = replace(credit, due_at=item.due_at, expires_at=item.expires_at)
        with_id = None if credit.beside is None else bases[credit.rule_id]
        # The order may have credits of other rules.
        row = CreditToAccept(*update.member, new_id(), credit, with_id=with_id, known=not update.is_new)
        if credit.beside is None:
            bases[credit.rule_id] = row.id
        rows.append(row)
    return rows


def _as_locked(row: CreditToAccept) -> LockedCredit:
    """The credit as it will be read once it is accepted."""
    credit = row.credit
    assert credit.reference is not None
    return LockedCredit(
        program_id=row.program_id,
        member_id=row.member_id,
        id=row.id,
        reference=credit.reference,
        rule_id=credit.rule_id,
        unit=credit.unit,
        beside=credit.beside,
        state="pending",
        points=credit.points,
        taken_back=0,
        due_at=credit.due_at,
        expires_at=credit.expires_at,
    )
