"""Seven programs over more than a year, in which everything happens that can happen to points."""

import tempfile
from datetime import timedelta
from pathlib import Path

from engage.domain.activity import AnyActivity
from engage.flows.activities.record import record
from engage.flows.members.adjust import AdjustmentRequest, adjust
from engage.flows.members.erase import erase_member
from engage.flows.members.import_file import check_file
from engage.flows.members.import_members import import_members
from engage.flows.members.merge import merge_members
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.programs.publish import publish
from engage.flows.rewards.coupons import redeem_f_code, void_coupon
from engage.flows.scheduled.due_work import run_due_work
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.flows.withdrawals.outcome import confirm_withdrawal
from engage.flows.withdrawals.withdraw import withdraw
from engage.runtime.services import Services
from tests.support import checkout, draws, engagement_history, orders, segments, withdrawals
from tests.support.activities import (
    act,
    join,
    link,
    review,
    review_removed,
    share_removed,
    signed_in,
    social,
    tap,
)
from tests.support.checkout import earn, hold_request, place_hold, redeem_reward
from tests.support.clock import DAY, NOON, advance
from tests.support.orders import buy, cancelled, delivered, line, paid, returned, send_events

MEMBERS = ["m-1", "m-2", "m-3"]
BEGAN = NOON - timedelta(days=400)


async def write_full_history(services: Services) -> None:
    """Write the history from BEGAN to some days after NOON. No work is overdue at the end."""
    documents = (
        orders.DOCUMENT.replace('grace = "P10D"', 'grace = "P10D"\npromise = "P16D"'),
        checkout.DOCUMENT,
        withdrawals.document(withdrawals.OPEN),
        draws.document(plain_closes_at=NOON - timedelta(hours=1), rewardmi_closes_at=NOON + 3000 * DAY),
        *engagement_history.DOCUMENTS,
    )
    for document in documents:
        await publish(services.db, document, source="test", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    await _import(services)
    await engagement_history.rise(services)
    await _orders_long_ago(services)
    await _orders(services)
    await _corrections(services)
    await _rewards(services)
    await _withdrawals(services)
    await _draws(services)
    await engagement_history.play(services)
    await _advance_to_noon(services)
    await _five_days(services)
    await _leave_open(services)
    await services.post_commit.drain()


async def _import(services: Services) -> None:
    with tempfile.TemporaryDirectory(prefix="history-") as folder:
        file = Path(folder) / "old-cards.csv"
        file.write_text("member_id,country,points\ni-1,ES,40\ni-2,GB,60\ni-3,ES,0\n")
        counts = await import_members(
            services,
            check_file(file),
            program_id=orders.PROGRAM,
            name="old",
            on_rejected=lambda _: None,
            on_progress=lambda _: None,
        )
    assert counts.imported == 3


async def _orders_long_ago(services: Services) -> None:
    """Points that expire, some of them after they were reinstated."""
    for number in range(1, 6):
        await orders.join(services, f"b-{number}")
    await buy(services, line(paid=100_00), order_id="o-1", member_id="b-1")
    await buy(services, line(paid=50_00), order_id="o-6", member_id="b-5")
    hold_id = await orders.spend(services, 90, "o-2", member_id="b-1")
    bought = paid(services, line(paid=99_00, quantity=3), order_id="o-2", member_id="b-1", hold_id=hold_id)
    back = returned(services, {"1": 1}, order_id="o-2", member_id="b-1")
    assert await send_events(services, bought, back, delivered(services, "o-2", member_id="b-1")) == []
    await run_due_work(services, now=advance(services, 370 * DAY))
    # The lot of these points has expired: they are reinstated, and expire after the grace.
    assert await send_events(services, returned(services, {"1": 1}, order_id="o-2", member_id="b-1")) == []
    await run_due_work(services, now=advance(services, 11 * DAY))


async def _orders(services: Services) -> None:
    """Points that are clawed back: pending, active and spent ones."""
    await buy(services, line(paid=50_00), order_id="o-7", member_id="b-5")
    await orders.spend(services, 50, member_id="b-5")
    assert await send_events(services, returned(services, order_id="o-7", member_id="b-5")) == []
    await buy(services, line(paid=30_00), order_id="o-8", member_id="b-5")  # The credit pays the debt first.
    await buy(services, line(paid=80_00, quantity=4), order_id="o-3", member_id="b-1")
    events: list[AnyEvent] = [
        returned(services, {"1": 1}, order_id="o-3", member_id="b-1"),
        paid(services, line(paid=20_00, quantity=2), order_id="o-9", member_id="b-2"),
        returned(services, {"1": 1}, order_id="o-9", member_id="b-2"),
        paid(services, line(paid=20_00), order_id="o-10", member_id="b-2"),
        cancelled(services, "o-10", member_id="b-2"),
        delivered(services, "o-9", member_id="b-2"),
    ]
    assert await send_events(services, *events) == []


async def _corrections(services: Services) -> None:
    """Operators give and take; a member is merged into another, and one is erased."""
    for points, reference in ((15, "ticket-1"), (-5, "ticket-2")):
        correction = AdjustmentRequest(points=points, reason="goodwill", reference=reference)
        await adjust(services, orders.PROGRAM, "b-2", correction, operator="key-1")
    for member in ("b-3", "b-4"):
        await buy(services, line(paid=70_00), order_id=f"of-{member}", member_id=member)
        await orders.spend(services, 10, f"by-{member}", member_id=member)
        await orders.write_review(services, f"r-{member}", member_id=member)
    for listed in (["b-1", "b-3", "b-4"], ["b-2", "b-3"], ["b-2"], ["b-1", "b-2"]):
        await segments.put(services, listed, program=orders.PROGRAM)
    await merge_members(services, orders.PROGRAM, "b-3", into="b-1", reason="one person", operator="key-1")
    await erase_member(services, orders.PROGRAM, "b-4", operator="key-1")


async def _rewards(services: Services) -> None:
    """Coupons and codes in every state except applied."""
    await checkout.member_with_points(services, 1000, "s-1")
    coupons = [await redeem_reward(services, "one_euro", "s-1") for _ in range(3)]
    await redeem_reward(services, "scarce", "s-1")
    code = (await redeem_reward(services, "phone_first", "s-1")).issued.code
    await redeem_f_code(services, checkout.SPENDING, code, product_id="phone", order_id="o-9")
    await void_coupon(services, checkout.SPENDING, coupons[0].issued.code, operator="test")
    used = hold_request("o-1", "s-1", points=50, coupon_codes=[coupons[1].issued.code])
    await checkout.close_hold(services, await place_hold(services, used), "captured")
    await checkout.close_hold(
        services, await place_hold(services, hold_request("o-2", "s-1", points=20)), "released"
    )
    await place_hold(services, hold_request("o-3", "s-1", points=30, coupon_codes=[coupons[2].issued.code]))
    await run_due_work(
        services, now=advance(services, 11 * DAY)
    )  # The hold times out, and the coupons expire.


async def _withdrawals(services: Services) -> None:
    """One withdrawal that is paid, and one that fails."""
    for member in ("w-1", "w-2", "w-3"):
        await register_member(
            services,
            MemberRegistration(member_id=member, program=withdrawals.PROGRAM, country="BF", phone=None),
        )
    await settle_due(services, now=advance(services, timedelta(minutes=5)))
    for member, is_paid in (("w-1", True), ("w-2", False)):
        withdrawal = await withdraw(services, withdrawals.PROGRAM, member, points=60, method="cash")
        await confirm_withdrawal(services, withdrawal.id, paid=is_paid, operator="test")


async def _draws(services: Services) -> None:
    """A draw that will be drawn, with members who are merged and erased, and one that stays open."""
    await draws.join(services, "d-1", "d-2", "d-3", "d-4")
    for member in ("d-1", "d-2", "d-3"):
        await draws.entered(services, member)
    await draws.entered(services, "d-1", "rewardmi", draws.POST)
    await erase_member(services, draws.PROGRAM, "d-3", operator="key-1")
    await merge_members(services, draws.PROGRAM, "d-2", into="d-4", reason="one person", operator="key-1")


async def _advance_to_noon(services: Services) -> None:
    await run_due_work(services, now=advance(services, NOON - services.clock.now()))


async def _five_days(services: Services) -> None:
    """Three members of the playground, with every outcome of an activity."""
    for member, country in zip(MEMBERS, ("ES", "GB", "NZ"), strict=True):
        await join(services, member, country)
    for day in range(5):
        for member in MEMBERS[: 3 - day % 2]:
            activities: list[AnyActivity] = [tap(), tap(), review(f"p-{day}", f"r-{day}")]
            activities += [link(f"l-{day}"), link(f"l-{day}"), social(f"s-{day}"), social()]
            await record(services, [act(services, activity, member) for activity in activities])
        member = MEMBERS[day % 2]
        await take_events(
            services, [signed_in(services, member), review_removed(services, f"r-{day}", member)]
        )
        await settle_due(services, now=advance(services, timedelta(hours=2)))
        await take_events(
            services,
            [
                share_removed(services, f"l-{day - 1}", member),
                review_removed(services, f"r-{day + 3}", member),
            ],
        )
        advance(services, DAY - timedelta(hours=2))
    await record(services, [act(services, tap(), member) for member in MEMBERS])


async def _leave_open(services: Services) -> None:
    """Leave an undelivered order, a hold with a coupon, and a withdrawal open."""
    await run_due_work(services, now=services.clock.now() - timedelta(minutes=1))
    assert (
        await send_events(services, paid(services, line(paid=20_00), order_id="o-5", member_id="b-5")) == []
    )
    await orders.spend(services, 10, "o-4", member_id="b-1", capture=False)
    await earn(services, 300, "s-1")
    coupon = (await redeem_reward(services, "one_euro", "s-1")).issued
    await redeem_reward(services, "one_euro", "s-1")
    await place_hold(services, hold_request("o-4", "s-1", points=40, coupon_codes=[coupon.code]))
    await withdraw(services, withdrawals.PROGRAM, "w-3", points=60, method="cash")
