"""A friend's claim is checked against everything that is known of both."""

from datetime import timedelta
from typing import Any

import pytest

from engage.domain.referrals.claim import ClaimFacts, check_claim, counts_since
from engage.domain.referrals.definition import ReferralLimit, ReferralReward, ReferralTerms
from engage.domain.refusals import Refusal
from tests.support.clock import DAY, NOON

TERMS = ReferralTerms(
    account_age_max=3 * DAY,
    limit=ReferralLimit(count=2, window="month"),
    advocate=ReferralReward(on="first_order_delivered", points=100),
)


def facts(**known: Any) -> ClaimFacts:
    nothing: dict[str, Any] = {
        "is_referred": False,
        "is_one_member": False,
        "in_circle": False,
        "is_survivor": False,
        "has_delivery": False,
        "joined_at": NOON,
        "used": 0,
        "shared": (),
    }
    return ClaimFacts(**nothing | known)


def check(known: ClaimFacts, terms: ReferralTerms = TERMS, after: timedelta = timedelta()) -> list[str]:
    return [*check_claim(terms, known, version="first", at=NOON + after, zone="Asia/Kolkata")]


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"is_referred": True}, "already_referred"),
        ({"is_one_member": True}, "self_referral"),
        *(({"shared": [trait]}, "self_referral") for trait in ("person", "phone", "card", "device")),
        ({"in_circle": True}, "circular_referral"),
        ({"joined_at": NOON - 3 * DAY - timedelta(seconds=1)}, "too_late"),
        ({"has_delivery": True}, "too_late"),
        ({"used": 2}, "limit_reached"),
    ],
)
def test_a_claim_is_refused(known: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        check(facts(**known))
    assert refused.value.code == code
    assert refused.value.status == 409


def test_an_account_may_be_exactly_as_old_as_allowed() -> None:
    assert check(facts(), after=3 * DAY) == []


def test_a_delivery_does_not_matter_where_no_order_is_paid_for() -> None:
    terms = ReferralTerms(friend=ReferralReward(on="registration", points=10))
    assert check(facts(has_delivery=True, joined_at=NOON - 900 * DAY), terms) == []


def test_an_operator_looks_at_one_address_and_at_merged_accounts() -> None:
    assert check(facts(shared=["address"])) == ["address"]
    assert check(facts(is_survivor=True, shared=["address"])) == ["address", "merged"]


def test_a_limit_says_when_it_starts_again_unless_it_is_for_ever() -> None:
    with pytest.raises(Refusal) as refused:
        check(facts(used=2))
    assert refused.value.facts["resets_at"].isoformat() == "2026-11-30T18:30:00+00:00"
    for_ever = ReferralTerms(limit=ReferralLimit(count=1), friend=ReferralReward(on="registration", points=1))
    with pytest.raises(Refusal) as refused:
        check(facts(used=1), for_ever)
    assert refused.value.code == "limit_reached"
    assert "resets_at" not in refused.value.facts


def test_friends_count_in_the_window_of_the_advocates_zone() -> None:
    assert counts_since(ReferralTerms(), at=NOON, zone="Asia/Kolkata") is None
    month = counts_since(TERMS, at=NOON, zone="Asia/Kolkata")
    assert month is not None
    assert month.isoformat() == "2026-10-31T18:30:00+00:00"
