"""Examples of a document show referrals: the hold, what comes back, the limit."""

import pytest

from engage.domain.document.errors import DocumentError
from engage.domain.playback.examples import check
from engage.domain.program.parse import parse
from tests.support.referrals import BASE

EXAMPLES = """
[referral]
limit = { count = 2, window = "month" }
advocate = { on = "first_order_delivered", points = 100, min_spend_minor = 1000 }
friend = { on = "registration", points = 50 }
hold = "P7D"

[[examples]]
title = "A friend orders, and gives the order back"
country = "ES"
total = 100
steps = [
  { at = 2026-11-01T10:00:00, do = { activity = "friend_joins", friend = "a" }, balance = {} },
  { at = 2026-11-01T11:00:00, do = { activity="friend_joins", friend="a" }, refused = "already_referred" },
  { at = 2026-11-01T12:00:00, do = { activity = "friend_joins", friend = "b" }, balance = {} },
  { at = 2026-11-01T13:00:00, do = { activity = "friend_joins", friend = "c" }, refused = "limit_reached" },
  { at = 2026-11-02T10:00:00, do = { activity = "friend_orders", friend = "a", paid = 1000 }, balance = {} },
  { at = 2026-11-02T11:00:00, do = { activity = "friend_orders", friend = "b", paid = 1000 }, balance = {} },
  { at = 2026-11-03T10:00:00, do = { activity = "friend_returns", friend = "b" }, balance = {} },
  { at = 2026-11-09T09:59:59, do = { activity = "wait" }, balance = {} },
  { at = 2026-11-09T10:00:00, do = { activity = "wait" }, balance = { pending = 100 } },
  { at = 2026-11-30T10:00:00, do = { activity = "wait" }, balance = { active = 100 } },
  { at = 2026-12-01T10:00:00, do = { activity = "friend_returns", friend = "a" }, balance = {} },
  { at = 2026-12-01T11:00:00, do = { activity = "friend_joins", friend = "c" }, balance = {} },
]

[[examples]]
title = "An invited member"
country = "ES"
total = 50
steps = [
  { at = 2026-11-01T10:00:00, do = { activity = "use_friends_code" }, balance = {} },
  { at = 2026-11-01T10:00:01, do = { activity = "use_friends_code" }, refused = "already_referred" },
  { at = 2026-11-08T10:05:00, do = { activity = "wait" }, balance = { active = 50 } },
]
"""


def test_examples_play_referrals() -> None:
    assert [str(failure) for failure in check(parse(BASE + EXAMPLES, source="test"))] == []


def test_an_example_that_expects_points_within_the_hold_fails() -> None:
    early = EXAMPLES.replace("2026-11-09T10:00:00", "2026-11-09T09:59:59")
    (failure,) = check(parse(BASE + early, source="test"))
    assert "100 pending" in str(failure)


@pytest.mark.parametrize(
    ("wrong", "right", "problem"),
    [
        ('hold = "P400D"', 'hold = "P7D"', "referral.hold: expected a duration from PT0S to P366D"),
        ("code_length = 5\nhold", "hold", "referral.code_length: expected"),
        (
            '{ on = "registration", points = 50, min_spend_minor = 1 }',
            '{ on = "registration", points = 50 }',
            "referral.friend.min_spend_minor: expected no min_spend_minor",
        ),
        ('account_age_max = "PT0S"\nhold', "hold", "referral.account_age_max: expected a duration from PT1M"),
        ('url = "https://shop.example"\nhold', "hold", "referral.url: expected"),
    ],
)
def test_terms_that_make_no_sense_are_refused(wrong: str, right: str, problem: str) -> None:
    with pytest.raises(DocumentError) as refused:
        parse(BASE + EXAMPLES.replace(right, wrong, 1), source="test")
    assert problem in str(refused.value)


def test_terms_that_pay_nobody_are_refused() -> None:
    with pytest.raises(DocumentError) as refused:
        parse(BASE + '[referral]\nhold = "P7D"\n', source="test")
    assert "nobody would be paid" in str(refused.value)
