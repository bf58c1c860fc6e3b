"""A withdrawal is paid at most once, and its points are spent exactly when it is paid."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest

from engage.domain.refusals import Refusal
from engage.domain.withdrawals.withdrawal import (
    GIVE_UP_AFTER,
    LONGEST_PAUSE,
    NOT_RECEIVED_AFTER,
    Accepted,
    Declined,
    NotSent,
    Outcome,
    Unclear,
)
from engage.flows.members.merge import merge_members
from engage.flows.members.update import MemberUpdate, update_member
from engage.flows.programs.publish import publish
from engage.flows.scheduled.advance_clock import advance_clock
from engage.flows.withdrawals.outcome import confirm_withdrawal
from engage.flows.withdrawals.pay_out import pay_out_due
from engage.flows.withdrawals.reads import read_withdrawal
from engage.flows.withdrawals.withdraw import withdraw
from engage.payouts.port import Payout
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.withdrawals.withdrawals import next_payout
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, advance
from tests.support.database import logged, rows
from tests.support.withdrawals import (
    OPEN,
    PHONE,
    PROGRAM,
    SHUT,
    FakeProvider,
    balance,
    document,
    join,
    request_withdrawal,
    services_with_withdrawals,
    withdrawal_states,
)

MINUTE = timedelta(minutes=1)
MOMENT = timedelta(microseconds=1)
OTHER = "+22676543210"


async def pay(services: Services, *, after: timedelta = timedelta()) -> int:
    return await pay_out_due(services, now=advance(services, after))


async def next_inquiry(services: Services) -> datetime:
    async with transaction(services.db) as conn:
        due = await next_payout(conn, after=services.clock.now())
    assert due is not None
    return due


async def refused(services: Services, points: int = 60, *, phone: str | None = None) -> Refusal:
    with pytest.raises(Refusal) as error:
        await request_withdrawal(services, points, phone=phone)
    return error.value


async def test_points_are_held_then_captured_when_paid(services: Services, bank: FakeProvider) -> None:
    withdrawal = await request_withdrawal(services)
    assert (withdrawal.state, withdrawal.amount.amount, withdrawal.amount.currency) == (
        "requested",
        6_000,
        "XOF",
    )
    assert withdrawal.phone == PHONE
    assert await balance(services) == (40, 60)

    await pay(services)
    assert await withdrawal_states(services) == ["submitted"]
    assert await balance(services) == (40, 60), "held until the payment is confirmed"

    await pay(services, after=MINUTE)
    known = await read_withdrawal(services, PROGRAM, "m-1", withdrawal.id)
    assert (known.state, known.closed_at) == ("settled", services.clock.now())
    assert await balance(services) == (40, 0)
    assert bank.sent == bank.paid == [withdrawal.id]
    assert await rows(
        services.db, "SELECT house_account, house_delta FROM entries WHERE kind = 'capture'"
    ) == [("withdrawn", 60)]
    assert await rows(services.db, "SELECT purpose, state FROM holds") == [("withdrawal", "captured")]


async def test_a_declined_payout_releases_the_points(services: Services, bank: FakeProvider) -> None:
    async def decline(payout: Payout, *, at: datetime) -> Outcome:
        return Declined("payee_not_found")

    bank.send = decline  # type: ignore[method-assign]
    withdrawal = await request_withdrawal(services)
    await pay(services)
    known = await read_withdrawal(services, PROGRAM, "m-1", withdrawal.id)
    assert (known.state, known.failure) == ("failed", "payee_not_found")
    assert await balance(services) == (100, 0)
    assert await pay(services, after=DAY) == 0


async def test_after_a_timeout_the_payout_is_asked_about_and_never_sent_again(
    services: Services, bank: FakeProvider
) -> None:
    async def accept_and_time_out(payout: Payout, *, at: datetime) -> Outcome:
        bank.take(payout)
        return Unclear("ReadTimeout")

    bank.send = accept_and_time_out  # type: ignore[method-assign]
    withdrawal = await request_withdrawal(services)
    await pay(services)
    assert await withdrawal_states(services) == ["unknown"]
    await pay(services, after=MINUTE)
    assert await withdrawal_states(services) == ["settled"]
    assert bank.sent == [withdrawal.id]


async def test_inquiries_become_rarer_and_never_stop(services: Services, bank: FakeProvider) -> None:
    inquiries = []

    async def give_no_answer(payout: Payout, *, at: datetime) -> Outcome:
        inquiries.append(at)
        return Unclear("status 503")

    bank.ask = give_no_answer  # type: ignore[method-assign]
    await request_withdrawal(services)
    await pay(services)
    until = services.clock.now() + DAY
    while (due := await next_inquiry(services)) <= until:
        before = len(inquiries)
        await pay(services, after=due - MOMENT - services.clock.now())
        assert len(inquiries) == before, "never early"
        await pay(services, after=MOMENT)
        assert inquiries[-1] == due
    pauses = [later - earlier for earlier, later in pairwise(inquiries)]
    assert pauses == sorted(pauses)
    assert 8 < len(inquiries) < 20
    assert pauses[-1] <= LONGEST_PAUSE
    assert await withdrawal_states(services) == ["submitted"], "it is known to be accepted"


async def test_a_payout_that_was_not_received_fails_after_a_while(
    services: Services, bank: FakeProvider
) -> None:
    async def time_out(payout: Payout, *, at: datetime) -> Outcome:
        return Unclear("ReadTimeout")

    bank.send = time_out  # type: ignore[method-assign]
    await request_withdrawal(services)
    await pay(services)
    await pay(services, after=MINUTE)
    assert await withdrawal_states(services) == ["unknown"]
    assert await balance(services) == (40, 60), "a provider may be slow to see what it received"
    await pay(services, after=NOT_RECEIVED_AFTER)
    assert await withdrawal_states(services) == ["failed"]
    assert await balance(services) == (100, 0)


async def test_an_accepted_payout_does_not_fail_when_the_provider_forgets_it(
    services: Services, bank: FakeProvider
) -> None:
    withdrawal = await request_withdrawal(services)
    await pay(services)
    await pay_out_due(services, now=advance(services, timedelta()))
    bank.ends.clear()
    await pay(services, after=30 * DAY)
    assert await withdrawal_states(services) == ["unknown"]
    assert await balance(services) == (40, 60)
    settled = await confirm_withdrawal(services, withdrawal.id, paid=True, operator="test")
    assert settled.state == "settled"
    assert await balance(services) == (40, 0)


async def test_an_unsent_payout_is_sent_later_and_given_up_after_a_day(
    services: Services, bank: FakeProvider
) -> None:
    attempts = []

    async def fail_to_connect(payout: Payout, *, at: datetime) -> Outcome:
        attempts.append(at)
        return NotSent("ConnectError")

    send, bank.send = bank.send, fail_to_connect  # type: ignore[method-assign]
    await request_withdrawal(services)
    for _ in range(5):
        await pay(services, after=5 * MINUTE)
    assert await withdrawal_states(services) == ["requested"]
    assert len(attempts) == 5
    bank.send = send  # type: ignore[method-assign]
    await pay(services, after=DAY / 2)
    await pay(services, after=MINUTE)
    assert (await withdrawal_states(services), len(bank.sent)) == (["settled"], 1)

    advance(services, DAY)
    bank.send = fail_to_connect  # type: ignore[method-assign]
    await lower_the_minimum(services)
    await request_withdrawal(services, 40)
    await pay(services)
    await pay(services, after=GIVE_UP_AFTER)
    assert await withdrawal_states(services) == ["failed", "settled"]
    assert await balance(services) == (40, 0)


async def lower_the_minimum(services: Services) -> None:
    """Publish a version with a smaller minimum balance."""
    smaller = OPEN.replace("min_points = 50", "min_points = 1")
    since = f"{services.clock.now():%Y-%m-%d}"
    await publish(
        services.db,
        document(smaller, version="second", since=since),
        source="market",
        operator="test",
        clock=services.clock,
        past_allowed=True,
    )
    await services.programs.refresh(services.db)


async def test_two_workers_send_a_payout_once(
    settings: Settings, services: Services, bank: FakeProvider
) -> None:
    async def accept_slowly(payout: Payout, *, at: datetime) -> Outcome:
        await asyncio.sleep(0)
        bank.take(payout)
        return Accepted()

    bank.send = accept_slowly  # type: ignore[method-assign]
    withdrawal = await request_withdrawal(services)
    async with services_with_withdrawals(settings, bank, clock=services.clock) as other:
        now = services.clock.now()
        done = await asyncio.gather(*(pay_out_due(process, now=now) for process in [services, other] * 8))
        assert sum(done) == 1
        later = advance(services, MINUTE)
        await asyncio.gather(*(pay_out_due(process, now=later) for process in [services, other] * 8))
    assert bank.sent == [withdrawal.id]
    assert await withdrawal_states(services) == ["settled"]
    assert await balance(services) == (40, 0)


async def test_concurrent_withdrawals_never_hold_more_than_the_balance(services: Services) -> None:
    answers = await asyncio.gather(
        *(request_withdrawal(services, 50) for _ in range(8)), return_exceptions=True
    )
    codes = [answer.code for answer in answers if isinstance(answer, Refusal)]
    assert len(codes) == 7
    assert set(codes) == {"daily_points_reached"}
    assert await balance(services) == (50, 50)


async def test_repeated_and_late_outcomes_change_nothing(services: Services, bank: FakeProvider) -> None:
    withdrawal = await request_withdrawal(services)
    await pay(services)
    await pay(services, after=MINUTE)
    with pytest.raises(Refusal, match="withdrawal_closed"):
        await confirm_withdrawal(services, withdrawal.id, paid=False, operator="test")
    assert (await confirm_withdrawal(services, withdrawal.id, paid=True, operator="test")).state == "settled"
    assert await balance(services) == (40, 0)


async def test_an_operator_confirms_cash(services: Services, bank: FakeProvider) -> None:
    paid = await request_withdrawal(services, method="cash")
    assert paid.state == "requested"
    assert await pay(services, after=DAY) == 0
    assert (await confirm_withdrawal(services, paid.id, paid=True, operator="test")).state == "settled"
    assert await balance(services) == (40, 0)
    await lower_the_minimum(services)
    uncollected = await request_withdrawal(services, 10, method="cash")
    assert (
        await confirm_withdrawal(services, uncollected.id, paid=False, operator="test")
    ).failure == "not_paid_out"
    assert await balance(services) == (40, 0)
    assert bank.sent == []
    before = {"state": "requested"}
    assert await logged(services.db, f"withdrawal:{paid.id}") == [
        ("test", "settled", before, {"state": "settled"})
    ]
    assert await logged(services.db, f"withdrawal:{uncollected.id}") == [
        ("test", "failed", before, {"state": "failed"})
    ]


async def test_an_operator_cannot_confirm_while_the_provider_can_answer(services: Services) -> None:
    withdrawal = await request_withdrawal(services)
    for _ in range(2):
        with pytest.raises(Refusal, match="withdrawal_under_way"):
            await confirm_withdrawal(services, withdrawal.id, paid=False, operator="test")
        await pay(services)


async def test_without_a_provider_withdrawals_wait(services: Services) -> None:
    await request_withdrawal(services)
    assert await pay(msgspec.structs.replace(services, payouts=None)) == 0
    assert await withdrawal_states(services) == ["requested"]
    await pay(services, after=DAY / 2)
    await pay(services, after=MINUTE)
    assert await withdrawal_states(services) == ["settled"]


async def test_a_balance_below_the_minimum_allows_no_withdrawal(services: Services) -> None:
    refusal = await refused(services, 101)
    assert (refusal.code, refusal.facts["active"]) == ("insufficient_points", 100)
    await request_withdrawal(services, 51)
    refusal = await refused(services, 1)
    assert (refusal.code, refusal.status) == ("below_minimum", 409)
    assert (refusal.facts["minimum"], refusal.facts["active"]) == (50, 49)


async def test_daily_limits_count_the_day_in_the_members_zone(settings: Settings, bank: FakeProvider) -> None:
    # 20:00 in UTC is after midnight in India.
    async with services_with_withdrawals(settings, bank) as services:
        await join(services, country="IN", phone="+919876543210")
        advance(services, timedelta(hours=6, minutes=20) - timedelta(minutes=5))
        assert services.clock.now() == datetime(2026, 11, 21, 18, 20, tzinfo=UTC)
        await request_withdrawal(services, 1)
        refusal = await refused(services, 80)
        assert (refusal.code, refusal.status) == ("daily_points_reached", 409)
        assert refusal.facts["remaining"] == 79
        assert refusal.facts["resets_at"] == datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
        for _ in range(2):
            await request_withdrawal(services, 1)
        refusal = await refused(services, 1)
        assert (refusal.code, refusal.facts["limit"]) == ("limit_reached", 3)
        advance(services, timedelta(minutes=10))
        await request_withdrawal(services, 80 - 1)
        await assert_audit_is_clean(services)


async def test_failed_withdrawals_do_not_count_towards_daily_limits(
    services: Services, bank: FakeProvider
) -> None:
    async def decline(payout: Payout, *, at: datetime) -> Outcome:
        return Declined("not_allowed")

    bank.send = decline  # type: ignore[method-assign]
    for _ in range(4):
        await request_withdrawal(services, 80)
        await pay(services)
    assert await withdrawal_states(services) == ["failed"] * 4


async def test_after_a_number_change_mobile_money_waits_for_the_cooldown(services: Services) -> None:
    changed_at = services.clock.now()
    await update_member(services, "m-1", MemberUpdate(program=PROGRAM, phone=OTHER))
    for phone in (None, PHONE):
        refusal = await refused(services, phone=phone)
        assert (refusal.code, refusal.status) == ("number_too_new", 409)
        assert refusal.facts["allowed_at"] == changed_at + DAY
    await request_withdrawal(services, 1, method="cash")
    advance(services, DAY)
    assert (await request_withdrawal(services)).phone == OTHER


async def test_a_number_named_in_a_request_waits_for_the_cooldown(services: Services) -> None:
    named_at = services.clock.now()
    for _ in range(2):
        refusal = await refused(services, phone=OTHER)
        assert (refusal.code, refusal.facts["allowed_at"]) == ("number_too_new", named_at + DAY)
        advance(services, MINUTE)
    # The number with which the member joined is old enough.
    await request_withdrawal(services, 1)
    advance(services, named_at + DAY - MOMENT - services.clock.now())
    assert (await refused(services, phone=OTHER)).code == "number_too_new"
    advance(services, MOMENT)
    assert (await request_withdrawal(services, phone=OTHER)).phone == OTHER
    assert await balance(services) == (39, 61)


async def test_a_member_without_a_number_waits_for_one_named_in_a_request(
    settings: Settings, bank: FakeProvider
) -> None:
    async with services_with_withdrawals(settings, bank) as services:
        await join(services, phone=None)
        assert (await refused(services, phone=PHONE)).code == "number_too_new"
        advance(services, DAY)
        assert (await request_withdrawal(services, phone=PHONE)).phone == PHONE


async def test_a_number_of_another_member_is_new_to_this_one(services: Services) -> None:
    await join(services, "m-2", phone=OTHER)
    assert (await refused(services, phone=OTHER)).code == "number_too_new"


async def test_a_number_changed_there_and_back_is_new_again(services: Services) -> None:
    for number in (OTHER, PHONE):
        await update_member(services, "m-1", MemberUpdate(program=PROGRAM, phone=number))
    changed_at = services.clock.now()
    for phone in (None, PHONE, OTHER):
        assert (await refused(services, phone=phone)).facts["allowed_at"] == changed_at + DAY
    await update_member(services, "m-1", MemberUpdate(program=PROGRAM, phone=None))
    advance(services, MINUTE)
    await update_member(services, "m-1", MemberUpdate(program=PROGRAM, phone=PHONE))
    assert (await refused(services)).facts["allowed_at"] == services.clock.now() + DAY


async def test_many_named_numbers_push_out_the_first_and_never_the_registered_one(services: Services) -> None:
    for n in range(20):
        assert (await refused(services, phone=f"+2267020{n:04}")).code == "number_too_new"
        advance(services, MOMENT)
    known = await rows(
        services.db, "SELECT phone, since IS NULL FROM payee_numbers ORDER BY since NULLS FIRST"
    )
    assert known == [(PHONE, True), *((f"+2267020{n:04}", False) for n in range(4, 20))]
    await request_withdrawal(services)


async def test_after_a_merger_the_other_accounts_numbers_are_new(services: Services) -> None:
    for member_id, own in [("m-2", OTHER), ("m-3", None)]:
        await join(services, member_id, phone=own)
    for into in ("m-2", "m-3"):
        await merge_members(
            services, PROGRAM, "m-1" if into == "m-2" else "m-2", into=into, reason="r", operator="k"
        )
        merged_at = services.clock.now()
        new = PHONE if into == "m-2" else OTHER
        with pytest.raises(Refusal, match="number_too_new") as error:
            await withdraw(services, PROGRAM, into, points=60, method="mobile_money", phone=new)
        assert error.value.facts["allowed_at"] == merged_at + DAY
        advance(services, MINUTE)
    # m-2 had its own number all the time; m-3 has taken it over.
    with pytest.raises(Refusal, match="number_too_new"):
        await withdraw(services, PROGRAM, "m-3", points=60, method="mobile_money")
    assert (await rows(services.db, "SELECT member_id, phone FROM payee_numbers")) == [("m-3", OTHER)]


async def test_the_survivor_of_a_merger_keeps_its_number(services: Services) -> None:
    await join(services, "m-2", phone=OTHER)
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="r", operator="k")
    assert (await request_withdrawal(services)).phone == PHONE


async def test_the_limits_of_a_day_count_by_number_across_members(services: Services) -> None:
    """Ten accounts that pay to one number are one payee."""
    for n in range(2, 6):
        await join(services, f"m-{n}", phone=PHONE)

    async def ask(n: int) -> str:
        return (await withdraw(services, PROGRAM, f"m-{n}", points=50, method="mobile_money")).state

    answers = await asyncio.gather(*(ask(n) for n in range(1, 6) for _ in range(2)), return_exceptions=True)
    assert answers.count("requested") == 1
    codes = {answer.code for answer in answers if isinstance(answer, Refusal)}
    assert codes == {"daily_points_reached"}
    held = await rows(services.db, "SELECT sum(held)::int FROM balances")
    assert held == [(50,)]
    remaining = next(answer for answer in answers if isinstance(answer, Refusal)).facts["remaining"]
    assert remaining == 30
    advance(services, DAY)
    assert await ask(2) == "requested"


@pytest.mark.parametrize(
    "written",
    [
        "70 12 34 99",
        "00226 70123499",
        "+226 70 12 34 99",
        "\u202a70.12\u201134\u00a099\u202c",
        "70/12/34/99\u200b",
    ],
)
async def test_a_phone_number_is_accepted_in_any_notation(services: Services, written: str) -> None:
    for notation in (written, "+22670123499"):
        assert (await refused(services, phone=notation)).code == "number_too_new"
    advance(services, DAY)
    assert (await request_withdrawal(services, phone=written)).phone == "+22670123499"


@pytest.mark.parametrize(
    ("phone", "code"),
    [
        ("12345", "invalid_phone"),
        ("call me", "invalid_phone"),
        ("+226 25 30 67 89", "invalid_phone"),  # A landline.
        ("+33 6 12 34 56 78", "phone_unusable"),  # Another country.
    ],
)
async def test_a_phone_number_that_cannot_be_paid_is_refused(
    services: Services, phone: str, code: str
) -> None:
    refusal = await refused(services, phone=phone)
    assert (refusal.code, refusal.status) == (code, 422)
    assert await balance(services) == (100, 0)


async def test_without_a_phone_number_only_cash_is_possible(settings: Settings, bank: FakeProvider) -> None:
    async with services_with_withdrawals(settings, bank) as services:
        await join(services, phone=None)
        assert (await refused(services)).facts["reasons"] == ["phone_missing"]
        assert (await request_withdrawal(services, method="cash")).phone is None


async def test_a_new_program_version_opens_withdrawals(settings: Settings, bank: FakeProvider) -> None:
    async with services_with_withdrawals(settings, bank, withdrawal=SHUT) as services:
        await join(services)
        refusal = await refused(services)
        assert (refusal.code, refusal.status) == ("not_open_yet", 403)
        assert refusal.facts["opens_at"] == datetime(2027, 3, 1, tzinfo=UTC)
        await publish(
            services.db,
            document(OPEN, version="open", since="2026-11-22"),
            source="market",
            operator="test",
            clock=services.clock,
        )
        await services.programs.refresh(services.db)
        refusal = await refused(services)
        assert refusal.code == "not_open_yet"
        assert refusal.facts["opens_at"] == datetime(2026, 11, 22, tzinfo=UTC), "published, so it is certain"
        advance(services, DAY)
        assert (await request_withdrawal(services)).state == "requested"


async def test_a_program_without_withdrawals_offers_none(settings: Settings, bank: FakeProvider) -> None:
    async with services_with_withdrawals(settings, bank, withdrawal="") as services:
        await join(services)
        refusal = await refused(services)
        assert (refusal.code, refusal.status) == ("not_offered", 404)
        only_cash = OPEN.replace('"cash", "mobile_money"', '"cash"')
        await publish(
            services.db,
            document(only_cash, version="cash", since="2026-11-21"),
            source="market",
            operator="test",
            clock=services.clock,
            past_allowed=True,
        )
        await services.programs.refresh(services.db)
        assert (await refused(services)).code == "not_offered"


async def test_advancing_the_clock_pays_on_the_way(settings: Settings) -> None:
    """Uses the sandbox's provider, whose outcome follows from the phone number."""
    ends = {"+22670123401": "failed", "+22670123402": "failed", "+22670123403": "settled", PHONE: "settled"}
    async with services_with_withdrawals(settings) as services:
        for n, phone in enumerate([*ends, "+22670123404", "+22670123405"]):
            await join(services, f"m-{n}", phone=phone)
            await withdraw(services, PROGRAM, f"m-{n}", points=60, method="mobile_money")
        await travel(services, 10 * MINUTE)
        known = await states_by_phone(services)
        assert known == ends | {"+22670123404": "submitted", "+22670123405": "unknown"}
        await travel(services, timedelta(hours=12))
        known = await states_by_phone(services)
        assert known == ends | {"+22670123404": "settled", "+22670123405": "failed"}
        await assert_audit_is_clean(services)


async def states_by_phone(services: Services) -> dict[str, str]:
    found = await rows(services.db, "SELECT phone, state FROM withdrawals")
    return {str(phone): str(state) for phone, state in found}


async def travel(services: Services, by: timedelta) -> None:
    target = services.clock.now() + by
    await advance_clock(services, to=target)
    advance(services, target - services.clock.now())
