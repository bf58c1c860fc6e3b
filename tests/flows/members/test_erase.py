"""An erased member cannot be identified, and the ledger stays complete."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from engage.domain.activity import AnyActivity, FuelTap, Review, Share
from engage.domain.keys import review_reference
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.members.adjust import AdjustmentRequest, adjust
from engage.flows.members.erase import erase_member
from engage.flows.members.import_file import check_file
from engage.flows.members.import_members import import_members
from engage.flows.members.merge import merge_members
from engage.flows.members.register import MemberRegistration, RegisteredMember, register_member
from engage.flows.members.update import MemberUpdate, update_member
from engage.flows.reads.home import read_home
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.take_events import take_events
from engage.flows.withdrawals.pay_out import pay_out_due
from engage.ledger.corrections import lock_credits, read_again
from engage.runtime.database import transaction
from engage.runtime.idempotency import keep_after
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.idempotency import RequestKey, StoredResponse
from tests.support import activities, checkout, orders, withdrawals
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.orders import (
    balance,
    buy,
    delivered,
    join,
    line,
    paid,
    returned,
    send_events,
    spend,
    write_review,
)

# Personal values, and traces of a person's actions: after the erasure no table contains any of them.
PERSONAL = [
    "1984-05-17",
    "60012345",
    "PERSON-REF-7",
    "CARDNUMBER77",
    "FRIENDCODE",
    "SECRETPRODUCT",
    "SECRETREVIEW",
    "SECRETSHARE",
    "SECRETORDER",
    "SECRETLINE",
    "SECRETEVENT",
    "SECRETTICKET",
    "Angry on the telephone",
    "Their other card",
    "SECRETNETWORK",
    "SECRETANSWER",
    "SECRETRETURN",
]


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Services whose audit must be clean after each test."""
    async with orders.services_with_orders(settings) as opened:
        yield opened
        await assert_audit_is_clean(opened)


async def erase(services: Services, member_id: str = "m-1", program: str = orders.PROGRAM) -> None:
    await erase_member(services, program, member_id, operator="key-1")


async def dump(services: Services) -> str:
    """Every row of every table, as text."""
    tables = await rows(
        services.db,
        "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename <> 'program_versions'",
    )
    found = [
        str(row) for (table,) in tables for row in await rows(services.db, f"SELECT t::text FROM {table} t")
    ]
    found += [
        str(row) for row in await rows(services.db, "SELECT convert_from(body, 'UTF8') FROM idempotency_keys")
    ]
    return "\n".join(found)


async def test_nothing_personal_is_left_in_any_table(services: Services) -> None:
    program = orders.PROGRAM
    for member_id, cards in [("m-1", ["CARD-NUMBER-77"]), ("m-0", ["CARDNUMBER770"])]:
        await register_member(
            services,
            MemberRegistration(
                member_id=member_id,
                program=program,
                country="ES",
                birth_date=date(1984, 5, 17),
                person_ref=f"PERSON-REF-7-{member_id}",
                phone="+34 600 12 34 56",
                card_numbers=cards,
                referral_code="FRIENDCODE",
            ),
        )
    await update_member(
        services,
        "m-1",
        MemberUpdate(program=program, phone="+34 600 12 34 57", card_numbers=["CARDNUMBER779"]),
    )
    for member_id in ("m-0", "m-1"):
        acts = [Review(product_id="SECRETPRODUCT", review_id="SECRETREVIEW")]
        await record(
            services, [MemberActivity(program, member_id, act, services.clock.now()) for act in acts]
        )
        order = f"SECRETORDER-{member_id}"
        await buy(services, line("SECRETLINE", paid=50_00, quantity=2), order_id=order, member_id=member_id)
        await send_events(
            services, returned(services, {"SECRETLINE": 1}, order_id=order, member_id=member_id)
        )
        await send_events(
            services, paid(services, line(paid=3), order_id=f"SECRETORDER-x{member_id}", member_id=member_id)
        )
    event = paid(services, order_id="SECRETORDER-9")
    await send_events(
        services,
        type(event)(id="SECRETEVENT", time=event.time, program=program, member_id="m-1", data=event.data),
    )
    # A pending credit that was reduced, and a return with an id.
    await send_events(services, paid(services, line(paid=900, quantity=3), order_id="SECRETORDER-8"))
    await send_events(
        services, returned(services, {"1": 1}, order_id="SECRETORDER-8", return_id="SECRETRETURN")
    )
    await spend(services, 5, "SECRETORDER-spent")
    await send_events(services, returned(services, order_id="SECRETORDER-m-1"))
    adjustment = AdjustmentRequest(points=7, reason="Angry on the telephone", reference="SECRETTICKET-1")
    await adjust(services, program, "m-1", adjustment, operator="key-1")
    await merge_members(services, program, "m-0", into="m-1", reason="Their other card", operator="key-1")
    for caller in ("m-0", "m-1"):
        name = f"member:{program}:{caller}"
        await keep_after(services, RequestKey(name, "k", b"f"), StoredResponse(200, [], b"SECRETANSWER"))
    before = await dump(services)
    assert [word for word in PERSONAL if word not in before] == [
        "PERSON-REF-7",
        "SECRETSHARE",
        "SECRETNETWORK",
    ]
    await erase(services)
    await services.post_commit.drain()
    after = await dump(services)
    assert [word for word in PERSONAL if word in after] == []
    assert await rows(services.db, "SELECT 1 FROM members WHERE person_hash IS NOT NULL") == []


async def test_shares_and_taps_are_anonymous_too(settings: Settings) -> None:
    async with activities.services_with_activities(settings) as services:
        await activities.join(services)
        acts: list[AnyActivity] = [
            FuelTap(),
            Share(kind="link", product_id="SECRETPRODUCT", network="SECRETNETWORK", share_id="SECRETSHARE"),
            Share(kind="social", product_id="SECRETPRODUCT", network="SECRETNETWORK"),
            Review(product_id="SECRETPRODUCT", review_id="SECRETREVIEW"),
        ]
        for act in acts:
            await activities.perform(services, act)
        advance(services, DAY)
        await settle_due(services, now=services.clock.now())
        await activities.perform(services, FuelTap())
        before = await dump(services)
        words = [word for word in PERSONAL if word in before]
        assert words == ["SECRETPRODUCT", "SECRETREVIEW", "SECRETSHARE", "SECRETNETWORK"]
        await erase(services, program=activities.PROGRAM)
        after = await dump(services)
        assert [word for word in PERSONAL if word in after] == []
        await assert_audit_is_clean(services)


async def test_points_are_forfeited_and_debts_written_off(services: Services) -> None:
    for n in (1, 2):
        await join(services, f"m-{n}")
        await buy(services, line(paid=5000), order_id=f"o-{n}", member_id=f"m-{n}")
    await write_review(services)
    await spend(services, 50, member_id="m-2")
    assert await send_events(services, returned(services, order_id="o-2", member_id="m-2")) == []
    assert await balance(services, "m-2") == {"debt": 50}
    for n in (1, 2):
        await erase(services, f"m-{n}")
        assert await balance(services, f"m-{n}") == {}
    houses = await rows(
        services.db,
        "SELECT member_id, kind, house_account, house_delta FROM entries WHERE reference = 'erasure'"
        " ORDER BY 1",
    )
    assert houses == [("m-1", "adjustment", "expired", 50), ("m-2", "adjustment", "adjusted", -50)]
    advance(services, timedelta(days=1))
    assert await settle_due(services, now=services.clock.now()) == 0


async def test_an_erased_member_is_unknown_everywhere(settings: Settings, services: Services) -> None:
    async with orders.services_with_orders(settings, services.clock) as other:
        await join(services)
        await buy(services, line(paid=5000))
        await buy(other, line(paid=1000), order_id="o-2")
        await erase(services)
        for process in (services, other):
            assert await send_events(process, paid(process, order_id="o-9")) == ["unknown_member"]
            await process.members.refresh(process.db)
            assert await send_events(process, delivered(process, "o-9")) == ["unknown_member"]
            with pytest.raises(Refusal, match="unknown_member"):
                await read_home(process, orders.PROGRAM, "m-1")
            act = MemberActivity(
                orders.PROGRAM, "m-1", Review(product_id="p", review_id="r"), services.clock.now()
            )
            (answer,) = await record(process, [act])
            assert isinstance(answer, Refusal)
            assert answer.code == "unknown_member"


async def test_the_person_may_register_again_with_a_new_id(services: Services) -> None:
    registration = MemberRegistration(
        member_id="m-1", program=orders.PROGRAM, country="ES", person_ref="DNI 1", card_numbers=["CARD1"]
    )
    await register_member(services, registration)
    await erase(services)
    with pytest.raises(Refusal, match="member_erased"):
        await register_member(services, registration)
    again = MemberRegistration(
        member_id="m-2", program=orders.PROGRAM, country="ES", person_ref="DNI 1", card_numbers=["CARD1"]
    )
    assert (await register_member(services, again)).member_id == "m-2"


async def test_what_pays_once_in_a_life_does_not_pay_the_same_person_again(
    settings: Settings, tmp_path: Path
) -> None:
    """However often the account is erased, by whichever way the person joins again, in any spelling."""
    async with activities.services_with_activities(settings) as services:
        for n, ref in enumerate(["DNI 1", "dni1", "ＤＮＩ 1"]):
            registered = await register_member(services, _person(f"m-{n}", ref))
            await take_events(services, [activities.signed_in(services, f"m-{n}")])
            await settle_due(services, now=advance(services, DAY))
            (points,) = await rows(
                services.db, "SELECT active FROM balances WHERE member_id = :m", m=f"m-{n}"
            )
            assert (len(registered.credits), points) == ((1, (80,)) if n == 0 else (0, (0,)))
            # What pays oftener than once is earned.
            await activities.perform(services, FuelTap(), f"m-{n}")
            await erase_member(services, activities.PROGRAM, f"m-{n}", operator="key-1")
            await assert_audit_is_clean(services)
        file = tmp_path / "old.csv"
        file.write_text("member_id,country,person_ref\nm-9,ES,DNI 1\nm-10,ES,DNI 2\n")
        await import_members(
            services,
            check_file(file),
            program_id=activities.PROGRAM,
            name="old",
            on_rejected=lambda _: None,
            on_progress=lambda _: None,
        )
        await take_events(services, [activities.signed_in(services, m) for m in ("m-9", "m-10")])
        pending = "SELECT member_id, pending FROM balances WHERE member_id IN ('m-9', 'm-10') ORDER BY 1"
        assert await rows(services.db, pending) == [("m-10", 30), ("m-9", 0)]
        await assert_audit_is_clean(services)


async def test_accounts_of_two_references_are_two_persons_also_after_a_merger(settings: Settings) -> None:
    """A person who was merged and erased with another account joins again, and earns nothing again either."""
    async with activities.services_with_activities(settings) as services:
        for n in (1, 2):
            await register_member(services, _person(f"m-{n}", f"DNI {n}"))
        await merge_members(services, activities.PROGRAM, "m-1", into="m-2", reason="one", operator="key-1")
        with pytest.raises(Refusal, match="person_has_account"):
            await register_member(services, _person("m-3", "DNI 1"))
        await erase_member(services, activities.PROGRAM, "m-2", operator="key-1")
        for n in (1, 2):
            assert (await register_member(services, _person(f"n-{n}", f"DNI {n}"))).credits == []
        assert len((await register_member(services, _person("n-3", "DNI 3"))).credits) == 1
        await assert_audit_is_clean(services)


async def test_of_an_erasure_and_registrations_at_once_nothing_is_earned_twice(settings: Settings) -> None:
    async with activities.services_with_activities(settings) as services:
        await register_member(services, _person("m-1", "DNI 1"))
        erasing = asyncio.create_task(erase_member(services, activities.PROGRAM, "m-1", operator="key-1"))
        joined = await asyncio.gather(
            *(register_member(services, _person(f"n-{n}", "DNI 1")) for n in range(8)), return_exceptions=True
        )
        await erasing
        again = [answer for answer in joined if isinstance(answer, RegisteredMember)]
        assert len(again) <= 1
        assert all(answer.credits == [] for answer in again)
        await assert_audit_is_clean(services)


async def test_it_does_not_wait_for_a_correction_that_waits_for_the_balance(services: Services) -> None:
    """The correction has locked the pending credit of a review, whose source key the erasure changes."""
    await join(services)
    await write_review(services, "r-1")
    reference = review_reference("r-1")
    async with transaction(services.db) as conn:
        (credit,) = await lock_credits(conn, [(orders.PROGRAM, "m-1", reference)])
        await erase(services)
        assert await read_again(conn, [credit]) == []
    keys = await rows(services.db, "SELECT state, reference FROM credits WHERE rule_id = 'review'")
    assert keys == [("reversed", None)]


def _person(member_id: str, ref: str) -> MemberRegistration:
    return MemberRegistration(member_id=member_id, program=activities.PROGRAM, country="ES", person_ref=ref)


async def test_erasing_twice_or_by_a_merged_id_gives_the_same_result(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    await buy(services, line(paid=5000))
    await merge_members(services, orders.PROGRAM, "m-1", into="m-2", reason="one", operator="key-1")
    await erase(services, "m-1")
    await erase(services, "m-2")
    await erase(services, "m-1")
    assert await rows(services.db, "SELECT member_id FROM members WHERE erased_at IS NULL") == []
    assert len(await rows(services.db, "SELECT 1 FROM closings WHERE what = 'erased'")) == 2


async def test_a_member_with_an_open_hold_is_not_erased(services: Services) -> None:
    await join(services)
    await buy(services, line(paid=5000))
    await spend(services, 20, "o-9", capture=False)
    with pytest.raises(Refusal, match="points_held"):
        await erase(services)
    assert await balance(services) == {"active": 30, "held": 20}
    with pytest.raises(Refusal, match="unknown_member"):
        await erase(services, "nobody")


async def test_coupons_are_void_and_orders_do_not_name_them(settings: Settings) -> None:
    async with checkout.services_with_checkout(settings) as services:
        await checkout.member_with_points(services, 500)
        code = (await checkout.redeem_reward(services, "one_euro")).issued.code
        applied = (await checkout.redeem_reward(services, "one_euro")).issued.code
        request = checkout.hold_request("SECRETORDER", points=100, coupon_codes=[applied])
        await checkout.close_hold(services, await checkout.place_hold(services, request), "captured")
        before = await dump(services)
        assert code in before
        assert applied in before
        await erase(services, program=checkout.SPENDING)
        after = await dump(services)
        assert [word for word in (code, applied, "SECRETORDER", "band") if word in after] == []
        states = await rows(services.db, "SELECT state FROM coupons ORDER BY 1")
        assert states == [("used",), ("void",)]
        await assert_audit_is_clean(services)


async def test_payouts_stay_in_the_ledger_without_phone_numbers(settings: Settings) -> None:
    async with withdrawals.services_with_withdrawals(settings, withdrawals.FakeProvider()) as services:
        await withdrawals.join(services)
        await withdrawals.request_withdrawal(services)
        with pytest.raises(Refusal, match="points_held"):
            await erase(services, program=withdrawals.PROGRAM)
        for _ in range(3):
            await pay_out_due(services, now=advance(services, timedelta(minutes=5)))
        assert await withdrawals.withdrawal_states(services) == ["settled"]
        assert withdrawals.PHONE in await dump(services)
        await erase(services, program=withdrawals.PROGRAM)
        assert withdrawals.PHONE not in await dump(services)
        assert await rows(services.db, "SELECT state, points, amount_minor FROM withdrawals") == [
            ("settled", 60, 6_000)
        ]
        await assert_audit_is_clean(services)
