"""A referral is a fold over facts: pending, flagged, approved or rejected; paid once, and taken back."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engage.domain.referrals.definition import ReferralReward, ReferralTerms
from engage.domain.referrals.referral import (
    Facts,
    FriendOrder,
    Referral,
    advance,
    approve,
    newly_paid,
    newly_taken_back,
    reject,
)
from engage.domain.refusals import Refusal
from tests.support.clock import DAY, NOON
from tests.support.generated_cases import cases

HOLD = 7 * DAY
SECOND = timedelta(seconds=1)

BY_ORDER = ReferralTerms(
    hold=HOLD,
    advocate=ReferralReward(on="first_order_delivered", points=100, min_spend_minor=1000),
    friend=ReferralReward(on="first_order_delivered", points=50, min_spend_minor=1000),
)
BY_BOTH = ReferralTerms(
    hold=HOLD,
    advocate=ReferralReward(on="first_order_delivered", points=100),
    friend=ReferralReward(on="registration", points=50),
)
NEW = Referral(
    program_id="market",
    id=UUID(int=1),
    member_id="friend",
    advocate_id="advocate",
    program_version="first",
    state="pending",
    claimed_at=NOON,
)


def order(kept_minor: int = 1000, *, at: datetime = NOON + DAY, order_id: str = "o-1") -> FriendOrder:
    return FriendOrder(order_id, at, kept_minor)


def after(
    *steps: tuple[datetime, Facts], terms: ReferralTerms = BY_ORDER, referral: Referral = NEW
) -> Referral:
    for at, facts in steps:
        referral = advance(referral, terms, facts, at)
    return referral


def test_points_are_paid_when_the_hold_is_over_and_not_before() -> None:
    delivered = Facts(orders=[order()])
    held = after((NOON, Facts()), (NOON + DAY, delivered), (NOON + DAY + HOLD - SECOND, delivered))
    assert (held.state, held.due_at) == ("pending", NOON + DAY + HOLD)
    approved = after((NOON + DAY + HOLD, delivered), referral=held)
    assert (approved.state, newly_paid(held, approved)) == ("approved", ["advocate", "friend"])
    assert approved.due_at is None
    assert advance(approved, BY_ORDER, delivered, NOON + 99 * DAY) == approved


@pytest.mark.parametrize("orders", [[], [order(999)]])
def test_less_than_the_least_meets_no_condition(orders: list[FriendOrder]) -> None:
    waiting = after((NOON + 99 * DAY, Facts(orders=orders)))
    assert (waiting.state, waiting.due_at) == ("pending", None)


def test_the_first_delivery_that_is_enough_begins_the_hold() -> None:
    orders = [
        order(5000, at=NOON + 3 * DAY, order_id="o-2"),
        order(999),
        order(at=NOON + 2 * DAY, order_id="o-3"),
    ]
    held = after((NOON + 4 * DAY, Facts(orders=orders)))
    assert (held.advocate.order_id, held.due_at) == ("o-3", NOON + 2 * DAY + HOLD)


def test_a_delivery_of_before_the_claim_counts_from_the_claim() -> None:
    held = after((NOON, Facts(orders=[order(at=NOON - DAY)])))
    assert held.due_at == NOON + HOLD


@pytest.mark.parametrize("kept", [[], [order(999)]])
def test_an_order_that_comes_back_within_the_hold_rejects_the_referral(kept: list[FriendOrder]) -> None:
    rejected = after((NOON + DAY, Facts(orders=[order()])), (NOON + 2 * DAY, Facts(orders=kept)))
    assert (rejected.state, rejected.reason, rejected.due_at) == ("rejected", "order_returned", None)
    again = advance(rejected, BY_ORDER, Facts(orders=[order(order_id="o-2")]), NOON + 99 * DAY)
    assert again == rejected, "another order does not revive it"


def test_an_order_that_comes_back_later_takes_the_points_with_it_once() -> None:
    approved = after((NOON + 9 * DAY, Facts(orders=[order()])))
    lost = advance(approved, BY_ORDER, Facts(orders=[order(999)]), NOON + 20 * DAY)
    assert (lost.state, newly_taken_back(approved, lost)) == ("approved", ["advocate", "friend"])
    assert newly_paid(approved, lost) == []
    again = advance(lost, BY_ORDER, Facts(orders=[order()]), NOON + 21 * DAY)
    assert again == lost


def test_each_side_is_paid_when_its_own_condition_was_held() -> None:
    claimed = after((NOON, Facts()), terms=BY_BOTH)
    assert claimed.due_at == NOON + HOLD
    welcomed = after((NOON + HOLD, Facts()), terms=BY_BOTH, referral=claimed)
    assert (welcomed.state, newly_paid(claimed, welcomed), welcomed.due_at) == ("approved", ["friend"], None)
    delivered = Facts(orders=[order(at=NOON + 10 * DAY)])
    held = after((NOON + 10 * DAY, delivered), terms=BY_BOTH, referral=welcomed)
    assert (held.advocate.paid_at, held.due_at) == (None, NOON + 17 * DAY)
    paid = after((NOON + 17 * DAY, delivered), terms=BY_BOTH, referral=held)
    assert newly_paid(held, paid) == ["advocate"]


def test_an_erased_friend_takes_the_points_with_them() -> None:
    assert after((NOON, Facts(friend_erased=True))).reason == "friend_erased"
    approved = after((NOON + 9 * DAY, Facts(orders=[order()])))
    lost = advance(approved, BY_ORDER, Facts(friend_erased=True), NOON + 10 * DAY)
    assert newly_taken_back(approved, lost) == ["advocate", "friend"]


def test_an_erased_advocate_does_not_cost_the_friend_their_points() -> None:
    delivered = Facts(orders=[order()], advocate_erased=True)
    paid = after((NOON + 9 * DAY, delivered))
    assert (paid.state, paid.advocate.paid_at, paid.friend.paid_at) == ("approved", None, NOON + 9 * DAY)
    alone = ReferralTerms(advocate=ReferralReward(on="registration", points=1))
    assert after((NOON, Facts(advocate_erased=True)), terms=alone).reason == "advocate_erased"


def test_a_friend_and_an_advocate_who_are_merged_were_no_friends() -> None:
    merged = replace(NEW, member_id="advocate")
    assert after((NOON, Facts()), referral=merged).reason == "one_member"


def test_what_both_have_in_common_waits_for_an_operator() -> None:
    delivered = Facts(orders=[order()])
    flagged = after((NOON, Facts(shared=["device"])), (NOON + 99 * DAY, delivered))
    assert (flagged.state, flagged.flags, flagged.due_at) == ("flagged", ["device"], None)
    by_hand = approve(flagged, operator="key-1", reason="a family", at=NOON + 100 * DAY)
    approved = advance(by_hand, BY_ORDER, replace(delivered, shared=["device"]), NOON + 100 * DAY)
    assert (approved.state, newly_paid(flagged, approved)) == ("approved", ["advocate", "friend"])
    assert (approved.decided_by, approved.reason) == ("key-1", "a family")


def test_an_operator_ends_the_hold_and_not_the_condition() -> None:
    approved = approve(NEW, operator="key-1", reason=None, at=NOON)
    waiting = advance(approved, BY_ORDER, Facts(), NOON)
    assert newly_paid(NEW, waiting) == []
    delivered = advance(waiting, BY_ORDER, Facts(orders=[order()]), NOON + DAY)
    assert newly_paid(waiting, delivered) == ["advocate", "friend"]


def test_a_decision_is_made_once() -> None:
    approved = approve(NEW, operator="key-1", reason="fine", at=NOON)
    assert approve(approved, operator="key-2", reason="again", at=NOON + DAY) == approved
    rejected = reject(NEW, operator="key-1", reason="fraud", at=NOON)
    assert reject(rejected, operator="key-2", reason="again", at=NOON + DAY) == rejected
    assert advance(rejected, BY_ORDER, Facts(orders=[order()]), NOON + 99 * DAY) == rejected
    for decide, decided in ((approve, rejected), (reject, approved)):
        with pytest.raises(Refusal) as refused:
            decide(decided, operator="key-1", reason=None, at=NOON)
        assert refused.value.facts == {"state": decided.state}


ORDERS = st.lists(
    st.builds(
        FriendOrder,
        order_id=st.sampled_from(["o-1", "o-2"]),
        delivered_at=st.integers(0, 20).map(lambda day: NOON + day * DAY),
        kept_minor=st.sampled_from([500, 1000]),
    ),
    max_size=3,
    unique_by=lambda order: order.order_id,
)
FACTS = st.builds(
    Facts,
    orders=ORDERS,
    shared=st.sampled_from([[], [], [], ["address"]]),
    friend_erased=st.sampled_from([False, False, False, True]),
    advocate_erased=st.sampled_from([False, False, False, True]),
)


@settings(max_examples=cases(150))
@given(
    terms=st.sampled_from([BY_ORDER, BY_BOTH]),
    steps=st.lists(st.tuples(FACTS, st.integers(0, 9), st.sampled_from(["", "", "", "approve", "reject"]))),
)
def test_whatever_happens_each_side_is_paid_at_most_once_and_only_when_approved(
    terms: ReferralTerms, steps: list[tuple[Facts, int, str]]
) -> None:
    referral, at = NEW, NOON
    paid: dict[str, int] = {"advocate": 0, "friend": 0}
    taken: dict[str, int] = {"advocate": 0, "friend": 0}
    for facts, days, decision in steps:
        at += days * DAY
        before = referral
        if decision and referral.state in ("pending", "flagged"):
            decide: Any = {"approve": approve, "reject": reject}[decision]
            referral = decide(referral, operator="key-1", reason=None, at=at)
        referral = advance(referral, terms, facts, at)
        assert advance(referral, terms, facts, at) == referral, "a fold changes nothing the second time"
        for side in newly_paid(before, referral):
            paid[side] += 1
            assert referral.state == "approved"
        for side in newly_taken_back(before, referral):
            taken[side] += 1
        assert (referral.due_at or at) >= at
        if before.state in ("approved", "rejected"):
            assert referral.state == before.state
    assert all(taken[side] <= paid[side] <= 1 for side in paid)
