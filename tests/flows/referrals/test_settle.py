"""A referral is approved after the hold, pays both once, and loses what its friend or order takes with it."""

import asyncio
from datetime import timedelta

import pytest

from engage.domain.earning.trace import TraceStep
from engage.domain.refusals import Refusal
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.members.update import MemberUpdate, update_member
from engage.flows.reads.statement import read_credits
from engage.flows.referrals.queue import decide_referral
from engage.flows.referrals.settle import settle_due_referrals
from engage.flows.scheduled.advance_clock import advance_clock
from engage.flows.scheduled.reactions import react_due
from engage.flows.scheduled.settle import settle_due
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support import orders
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, FIVE_MINUTES, NOON, advance, running_clock
from tests.support.database import logged, rows
from tests.support.referrals import (
    BY_REGISTRATION,
    HOLD,
    OPERATOR,
    PROGRAM,
    counts,
    counts_of,
    give_back,
    invite,
    join,
    later,
    order,
    paid_for_referrals,
    referral,
    services_with_referrals,
    use,
)

SECOND = timedelta(seconds=1)
BOTH = {("advocate", "referral:advocate"): 100, ("friend", "referral:friend"): 50}
FRIENDS = {("friend", "referral:friend"): 50}


async def merge(services: Services, member_id: str, into: str) -> None:
    await merge_members(services, PROGRAM, member_id, into=into, reason="one person", operator="key-1")
    await react_due(services, now=services.clock.now())


async def erase(services: Services, member_id: str) -> None:
    await erase_member(services, PROGRAM, member_id, operator="key-1")
    await react_due(services, now=services.clock.now())


async def decide(services: Services, decision: str, reason: str | None = None) -> str:
    found = await referral(services)
    decided = await decide_referral(
        services, found.id, "approve" if decision == "approve" else "reject", operator=OPERATOR, reason=reason
    )
    return decided.state


async def approved(services: Services) -> None:
    """Let a referral be approved and paid, a week after the delivery of the friend's order."""
    await invite(services)
    advance(services, DAY)
    await order(services)
    await later(services, HOLD)
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    assert await paid_for_referrals(services) == BOTH


async def test_points_are_paid_on_approval_and_not_before(services: Services) -> None:
    await invite(services)
    await later(services, HOLD - SECOND)
    assert (await referral(services)).state == "pending"
    assert await paid_for_referrals(services) == {}
    now = await later(services, SECOND)
    found = await referral(services)
    assert (found.state, found.decided_at, found.decided_by) == ("approved", now, None)
    assert await paid_for_referrals(services) == FRIENDS, "the friend has joined, and not ordered yet"
    assert await counts(services) == counts_of(invited=1, pending=1)


async def test_the_first_delivery_that_is_enough_pays_the_advocate_after_the_hold(services: Services) -> None:
    await invite(services)
    await order(services, paid=999, order_id="o-0")
    assert (await referral(services)).due_at == NOON + HOLD
    await later(services, 2 * DAY)
    await order(services)
    await later(services, HOLD - SECOND)
    assert await paid_for_referrals(services) == FRIENDS
    await later(services, SECOND)
    assert await paid_for_referrals(services) == BOTH
    assert await counts(services) == counts_of(invited=1, rewarded=1)


async def test_credits_say_why_and_are_due_later(services: Services) -> None:
    await approved(services)
    (credit,) = await read_credits(services, PROGRAM, "advocate", state=None, before=None, limit=10)
    found = await referral(services)
    assert credit.source_key == f"referral:advocate:{found.id}"
    assert [TraceStep(*step).code for step in credit.why["trace"]] == ["friend_ordered"]
    assert credit.active_at is not None
    assert found.advocate is not None
    assert (credit.due_at, found.advocate.paid_at) == (NOON + DAY + HOLD + FIVE_MINUTES, NOON + DAY + HOLD)


@pytest.mark.parametrize("back", [None, {"1": 1}])
async def test_an_order_that_comes_back_within_the_hold_rejects_the_referral(
    services: Services, back: dict[str, int] | None
) -> None:
    await invite(services)
    await order(services)
    await give_back(services, back)
    found = await referral(services)
    assert (found.state, found.reason) == ("rejected", "order_returned")
    await later(services, 2 * HOLD)
    assert await paid_for_referrals(services) == {}
    assert await counts(services) == counts_of(invited=1)


@pytest.mark.parametrize("back", [None, {"1": 1}])
async def test_an_order_that_comes_back_later_takes_the_advocates_points_with_it(
    services: Services, back: dict[str, int] | None
) -> None:
    await approved(services)
    await give_back(services, back)
    await give_back(services, back) if back else None
    assert await paid_for_referrals(services) == FRIENDS
    assert (await referral(services)).state == "approved"
    assert await counts(services) == counts_of(invited=1)
    await order(services, order_id="o-2")
    await later(services, 2 * HOLD)
    assert await paid_for_referrals(services) == FRIENDS, "no other order earns it again"


async def test_an_order_that_is_enough_though_a_part_came_back_is_enough(services: Services) -> None:
    await invite(services)
    await order(services, paid=2000)
    await give_back(services, {"1": 1})
    await later(services, HOLD)
    assert await paid_for_referrals(services) == BOTH


async def test_spent_points_of_a_lost_referral_are_owed(services: Services) -> None:
    await approved(services)
    await orders.spend(services, 100, member_id="advocate")
    await give_back(services)
    assert await orders.balance(services, "advocate") == {"debt": 100}


async def test_an_erased_friend_takes_the_points_with_them(services: Services) -> None:
    await approved(services)
    await erase(services, "friend")
    assert await paid_for_referrals(services) == {}
    assert await counts(services) == counts_of(invited=1)


async def test_a_friend_who_is_erased_within_the_hold_pays_nobody(services: Services) -> None:
    await invite(services)
    await erase(services, "friend")
    found = await referral(services)
    assert (found.state, found.reason) == ("rejected", "friend_erased")
    await later(services, HOLD)
    assert await paid_for_referrals(services) == {}


async def test_nothing_personal_is_left_of_a_referral_after_an_erasure(services: Services) -> None:
    await join(services, "advocate", device_ids=["d-0"])
    await join(services, "friend", device_ids=["d-1"], addresses=["Calle Mayor 1"])
    await use(services, "friend", "advocate")
    await order(services)
    await decide(services, "approve", "Ana Pérez has called")
    await erase(services, "friend")
    found = await referral(services)
    assert (found.reason, found.advocate.order_id if found.advocate else "") == (None, None)
    assert await rows(services.db, "SELECT DISTINCT member_id FROM member_traits") == [("advocate",)]
    await erase(services, "advocate")
    assert await rows(services.db, "SELECT * FROM member_traits UNION ALL SELECT * FROM member_traits") == []


async def test_an_erased_advocate_does_not_cost_the_friend_their_points(services: Services) -> None:
    await invite(services)
    await order(services)
    await erase(services, "advocate")
    await later(services, HOLD)
    assert await paid_for_referrals(services) == FRIENDS


@pytest.mark.parametrize("merged", ["friend", "advocate"])
async def test_a_merger_takes_the_referral_along(services: Services, merged: str) -> None:
    await invite(services)
    await join(services, "survivor")
    await order(services)
    await merge(services, merged, "survivor")
    found = await referral(services)
    if merged == "friend":
        assert (found.friend_id, found.state, found.flags) == ("survivor", "flagged", ["merged"])
        assert await decide(services, "approve") == "approved"
    else:
        assert (found.advocate_id, found.state) == ("survivor", "pending")
        await later(services, HOLD)
    expected = {(merged if key[0] == merged else key[0], key[1]): points for key, points in BOTH.items()}
    assert await paid_for_referrals(services) == {
        ("survivor" if member_id == merged else member_id, rule): points
        for (member_id, rule), points in expected.items()
    }


async def test_points_of_a_merged_advocate_are_taken_back_from_the_survivor(services: Services) -> None:
    await approved(services)
    await join(services, "survivor")
    await merge(services, "advocate", "survivor")
    await give_back(services)
    assert await paid_for_referrals(services) == FRIENDS
    assert await orders.balance(services, "survivor") == {}


@pytest.mark.parametrize("is_approved", [False, True])
async def test_a_friend_who_is_merged_with_the_advocate_was_none(
    services: Services, is_approved: bool
) -> None:
    if is_approved:
        await approved(services)
    else:
        await invite(services)
    await merge(services, "friend", "advocate")
    await later(services, HOLD)
    assert await paid_for_referrals(services) == {}
    found = await referral(services)
    assert found.state == ("approved" if is_approved else "rejected")


async def test_what_both_have_in_common_is_found_before_anything_is_paid(services: Services) -> None:
    await invite(services)
    for member_id in ("advocate", "friend"):
        await update_member(services, member_id, MemberUpdate(program=PROGRAM, device_ids=["d-1"]))
    await later(services, HOLD)
    found = await referral(services)
    assert (found.state, found.flags) == ("flagged", ["device"])
    assert await paid_for_referrals(services) == {}
    assert await counts(services) == counts_of(invited=1, flagged=1)


async def test_an_operator_approves_and_what_is_met_is_paid_at_once(services: Services) -> None:
    await invite(services)
    assert await decide(services, "approve", "a good friend") == "approved"
    assert await paid_for_referrals(services) == FRIENDS
    await order(services)
    assert await paid_for_referrals(services) == BOTH, "an operator has waited long enough"
    found = await referral(services)
    assert (found.decided_by, found.reason) == ("key-1", "a good friend")
    assert await decide(services, "approve", "again") == "approved"
    assert (await referral(services)).reason == "a good friend"
    with pytest.raises(Refusal) as refused:
        await decide(services, "reject")
    assert (refused.value.code, refused.value.facts) == ("referral_closed", {"state": "approved"})


async def test_an_operator_rejects_and_nothing_is_paid(services: Services) -> None:
    await invite(services)
    assert await decide(services, "reject", "fraud") == "rejected"
    assert await decide(services, "reject") == "rejected"
    await order(services)
    await later(services, HOLD)
    assert await paid_for_referrals(services) == {}
    with pytest.raises(Refusal) as refused:
        await decide(services, "approve")
    assert refused.value.code == "referral_closed"


async def test_a_referral_that_does_not_exist_is_not_found(services: Services) -> None:
    with pytest.raises(Refusal) as refused:
        await decide_referral(services, new_id(), "approve", operator=OPERATOR, reason=None)
    assert (refused.value.code, refused.value.status) == ("not_found", 404)


async def test_any_number_of_workers_pay_a_referral_once(services: Services, settings: Settings) -> None:
    await invite(services)
    await order(services)
    now = advance(services, HOLD)
    async with services_with_referrals(settings, clock=services.clock) as other:
        found = await referral(services)
        answers = await asyncio.gather(
            *(settle_due_referrals(process, now=now) for process in (services, other) for _ in range(5)),
            *(
                decide_referral(process, found.id, "approve", operator=OPERATOR, reason=None)
                for process in (services, other)
            ),
            return_exceptions=True,
        )
        assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert await paid_for_referrals(services) == BOTH


async def test_returns_and_approvals_at_once_leave_nothing_unpaid_and_nothing_kept(
    services: Services, settings: Settings
) -> None:
    await invite(services)
    await order(services)
    now = advance(services, HOLD)
    async with services_with_referrals(settings, clock=services.clock) as other:
        await asyncio.gather(settle_due_referrals(other, now=now), give_back(services))
    await react_due(services, now=now)
    found = await referral(services)
    assert (await paid_for_referrals(services) == FRIENDS) == (found.state == "approved")
    assert ("advocate", "referral:advocate") not in await paid_for_referrals(services)


async def test_a_clock_that_is_advanced_approves_in_its_time(settings: Settings) -> None:
    async with services_with_referrals(settings, BY_REGISTRATION, clock=running_clock()) as services:
        await invite(services)
        claimed_at = (await referral(services)).claimed_at
        await advance_clock(services, by=30 * DAY)
        found = await referral(services)
        assert (found.state, found.decided_at) == ("approved", claimed_at + HOLD)
        assert await paid_for_referrals(services) == BOTH
        credit = (await read_credits(services, PROGRAM, "advocate", state=None, before=None, limit=1))[0]
        assert (credit.state, credit.active_at) == ("active", claimed_at + HOLD + FIVE_MINUTES)
        await assert_audit_is_clean(services)


async def test_a_decision_is_in_the_audit_log_once_and_names_no_member(services: Services) -> None:
    await invite(services)
    for _ in range(2):
        await decide(services, "reject", "the same card as their sister")
    with pytest.raises(Refusal):
        await decide(services, "approve")
    found = await referral(services)
    before, after = {"state": "pending"}, {"state": "rejected"}
    assert await logged(services.db, f"referral:{found.id}") == [("operator", "rejected", before, after)]
    entries = await rows(services.db, "SELECT program_id, reason FROM audit_log WHERE action = 'rejected'")
    assert entries == [(PROGRAM, None)]
