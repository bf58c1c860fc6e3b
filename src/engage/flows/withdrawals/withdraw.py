"""Request a withdrawal of points as money, paid by `engage.flows.withdrawals.pay_out` or at a counter."""

from datetime import datetime
from uuid import uuid4

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain import calendar
from engage.domain.keys import MemberKey
from engage.domain.members.phone import InvalidPhoneNumber, is_mobile, is_of, normalized
from engage.domain.program import versions
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.domain.withdrawals import checks
from engage.domain.withdrawals.definition import Method, WithdrawalTerms
from engage.domain.withdrawals.withdrawal import Withdrawal
from engage.flows.withdrawals.reads import WithdrawalView, view
from engage.ledger.accounts import open_accounts
from engage.ledger.holds import Hold, add_hold
from engage.runtime.database import transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.payee_numbers import add_number, read_payee
from engage.store.withdrawals import withdrawals as store


class _Terms(Struct, frozen=True):
    """The terms that apply to a member now."""

    program: Program
    rules: WithdrawalTerms
    member_id: str
    country: str
    zone: str
    currency: str

    @property
    def key(self) -> MemberKey:
        return self.program.id, self.member_id


class _TooNew(Exception):
    """The number has to be remembered, and the withdrawal is refused."""

    def __init__(self, number: str, refusal: Refusal) -> None:
        super().__init__(number)
        self.number = number
        self.refusal = refusal


async def withdraw(
    services: Services,
    program_id: str,
    member_id: str,
    *,
    points: int,
    method: Method,
    phone: str | None = None,
    keyed: Keyed[WithdrawalView] | None = None,
) -> WithdrawalView:
    """Hold the points and request the payout of their worth. Without `phone`, mobile money goes to the
    member's own number. A number that the member has not named before is remembered, and too new.

    Raises Refusal unknown_member, not_offered, not_open_yet, not_whole_money, number_too_new, invalid_phone,
    phone_unusable, below_minimum, insufficient_points, limit_reached, daily_points_reached,
    request_in_flight; Unavailable.
    """
    now = services.clock.now()
    terms = await _terms(services, program_id, member_id, method, now)
    given = None if phone is None else _payable(terms, phone)
    try:
        return await _withdraw(services, terms, points, method, given, keyed, now=now)
    except _TooNew as new:
        async with transaction(services.db) as conn:
            await add_number(conn, terms.key, new.number, now=now)
        raise new.refusal from None


async def _withdraw(
    services: Services,
    terms: _Terms,
    points: int,
    method: Method,
    given: str | None,
    keyed: Keyed[WithdrawalView] | None,
    *,
    now: datetime,
) -> WithdrawalView:
    """Raises _TooNew, and the refusals of `withdraw`."""
    assert terms.program.worth is not None, "validation demands it of documents with withdrawals"
    amount_minor = checks.worth_minor(terms.program.worth, points)
    async with open_posting(services, cause="withdrawal") as posting:
        conn = posting.conn
        await claim(conn, keyed)
        accounts = await open_accounts(conn, [terms.key], now=now)
        # Under the lock of the balance: points of a merger come with the ages of numbers.
        number = await _payee_number(conn, terms, method, given, now=now)
        account = accounts.by_key[terms.key]
        checks.check_balance(terms.rules, points, active=account.active)
        day = calendar.window("day", now, terms.zone)
        today = await store.read_day_totals(conn, terms.key, number, since=day.start, until=day.end)
        checks.check_daily_limits(terms.rules, points, today, resets_at=day.end, zone=terms.zone)
        withdrawal = Withdrawal(
            program_id=terms.program.id,
            member_id=terms.member_id,
            id=uuid4(),  # The provider's reference; some providers accept version 4 only.
            hold_id=new_id(),
            state="requested",
            method=method,
            points=points,
            amount_minor=amount_minor,
            currency=terms.currency,
            phone=number,
            requested_at=now,
            ask_at=now if method == "mobile_money" else None,  # Operators report what a counter pays.
        )
        account.hold(points, withdrawal.hold_id, now)
        await add_hold(conn, _hold(withdrawal))
        await store.add_withdrawal(conn, withdrawal)
        await posting.post(accounts)
        requested = view(withdrawal)
        await keep(conn, keyed, requested)
    return requested


async def _terms(
    services: Services, program_id: str, member_id: str, method: Method, now: datetime
) -> _Terms:
    """Raises Refusal unknown_member, not_offered or not_open_yet."""
    member = await services.members.get(services.db, program_id, member_id)
    program, market = services.programs.in_force(program_id, at=now, country=member.country)
    later = versions.upcoming(services.programs.versions(program_id), now, member.country)
    planned = checks.first_opening((start, version.withdrawal) for start, version in later)
    rules = checks.check_offered(program.withdrawal, method, zone=market.zone, planned=planned)
    return _Terms(program, rules, member.member_id, member.country, market.zone, market.currency)


async def _payee_number(
    conn: AsyncConnection, terms: _Terms, method: Method, given: str | None, *, now: datetime
) -> str | None:
    """Return the number to pay to, in E.164: the one given, or the member's own.

    Cash needs no number, so a registered number that cannot be paid to does not matter. Raises _TooNew, and
    Refusal unknown_member, invalid_phone, phone_unusable, number_too_new.
    """
    payee = await read_payee(conn, terms.key, given)
    if payee is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    if method == "cash":
        return given
    if payee.phone is None:
        raise Refusal(Code.PHONE_UNUSABLE, reasons=["phone_missing"])
    number = _payable(terms, payee.phone)
    try:
        checks.check_number_age(terms.rules, known=payee.known, since=payee.since, at=now, zone=terms.zone)
    except Refusal as refusal:
        if payee.known:
            raise
        raise _TooNew(number, refusal) from None
    return number


def _payable(terms: _Terms, phone: str) -> str:
    """Return a number in E.164. Raises Refusal invalid_phone, phone_unusable."""
    try:
        number = normalized(phone, terms.country)
    except InvalidPhoneNumber:
        raise Refusal(Code.INVALID_PHONE) from None
    if not is_mobile(number):
        raise Refusal(Code.INVALID_PHONE)
    if not is_of(number, terms.country):
        raise Refusal(Code.PHONE_UNUSABLE, reasons=["phone_country"])
    return number


def _hold(withdrawal: Withdrawal) -> Hold:
    """A hold without a time limit: a provider may take long."""
    return Hold(
        program_id=withdrawal.program_id,
        member_id=withdrawal.member_id,
        id=withdrawal.hold_id,
        purpose="withdrawal",
        state="open",
        points=withdrawal.points,
        currency=withdrawal.currency,
        created_at=withdrawal.requested_at,
    )
