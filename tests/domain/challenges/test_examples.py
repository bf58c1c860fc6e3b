"""Examples of documents show challenges: a step earns what it completes, and loses it with its cause."""

import pytest

from engage.domain.playback.examples import check
from engage.domain.program import parse
from tests.support.programs import rule

DOCUMENT = (
    """
id = "quests"
version = "1"
title = "Quests"
in_force_from = 2026-01-01
eligibility = { person_ref = "optional" }
expiry = { type = "rolling", months = 12 }

[countries]
ES = { zone = "Europe/Madrid", currency = "EUR" }

[[rewards]]
type = "coupon"
id = "coupon_5"
title = "5 euros off"
points = 500
value_minor = 500
stock = 1
"""
    + rule("review", 'activity = "review"', 'type = "once_per", field = "product_id"', 20)
    + rule("fuel", 'activity = "fuel_tap"', 'type = "daily_streak"', 2)
    + """
[[challenges]]
id = "critic"
title = { en = "Critic" }
goal = { kind = "distinct_products", activity = "review" }
steps = [{ at = 1, points = 5 }, { at = 2, reward = "coupon_5" }]

[[challenges]]
id = "week"
title = { en = "Three taps a week" }
repeats = "weekly"
goal = { kind = "count", activity = "fuel_tap" }
steps = [{ at = 3, points = 30 }]
due = { type = "next_day" }

[[challenges]]
id = "spender"
title = { en = "Spend 100 euros" }
goal = { kind = "spend_minor" }
steps = [{ at = 10000, points = 100 }]

[[examples]]
title = "a removed review takes its step with it, and another one pays it again"
country = "ES"
steps = [
    { at = 2026-03-02T10:00:00, do = { activity = "review", product_id = "band", review_id = "r1" }, earns = [
        { rule = "review", points = 20 },
        { rule = "challenge:critic", points = 5, source_key = "challenge:critic:ever:1:1", due_at = 2026-03-02T10:05:00 },
    ] },
    { at = 2026-03-03T10:00:00, do = { activity = "review_removed", review_id = "r1" }, balance = { active = 0 } },
    { at = 2026-03-04T10:00:00, do = { activity = "review", product_id = "scale", review_id = "r2" }, earns = [
        { rule = "review", points = 20 },
        { rule = "challenge:critic", points = 5, source_key = "challenge:critic:ever:1:2" },
    ] },
    { at = 2026-03-04T11:00:00, do = { activity = "review", product_id = "phone", review_id = "r3" }, earns = [
        { rule = "review", points = 20 },
    ] },
    { at = 2026-03-04T12:00:00, do = { activity = "redeem", reward_id = "coupon_5" }, refused = "sold_out" },
]

[[examples]]
title = "a week is a week from Monday"
country = "ES"
steps = [
    { at = 2026-03-07T10:00:00, do = { activity = "fuel_tap" }, days = 2, earns = [{ rule = "fuel", points = 2 }] },
    { at = 2026-03-09T10:00:00, do = { activity = "fuel_tap" }, days = 2, earns = [{ rule = "fuel", points = 2 }] },
    { at = 2026-03-11T10:00:00, do = { activity = "fuel_tap" }, earns = [
        { rule = "fuel", points = 2 },
        { rule = "challenge:week", points = 30, due_at = 2026-03-12T00:00:00 },
    ] },
]
total = 40

[[examples]]
title = "a return lowers what was spent"
country = "ES"
steps = [
    { at = 2026-03-02T10:00:00, do = { activity = "order", order_id = "o1", channel = "web", payment = { method = "card" }, currency = "EUR", lines = [{ line_id = "1", product_id = "phone", paid = 9000 }, { line_id = "2", product_id = "case", quantity = 2, paid = 1000 }] }, earns = [
        { rule = "challenge:spender", points = 100 },
    ] },
    { at = 2026-03-03T10:00:00, do = { activity = "wait" }, balance = { active = 100 } },
    { at = 2026-03-04T10:00:00, do = { activity = "order_returned", order_id = "o1", lines = { 2 = 1 } }, balance = {} },
]
"""  # noqa: E501  # As TOML has it.
)


def test_the_examples_of_a_document_show_challenges() -> None:
    program = parse.parse(DOCUMENT, source="test")
    assert check(program) == []


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ("steps = [{ at = 3, points = 30 }]", "steps = [{ at = 4, points = 30 }]", "got fuel 2"),
        ('repeats = "weekly"', 'repeats = "monthly"', "challenge:week 30"),
        ("{ at = 10000, points = 100 }", "{ at = 9500, points = 100 }", "100 active"),
        ('source_key = "challenge:critic:ever:1:2"', 'source_key = "challenge:critic:ever:1:1"', "ever:1:2"),
    ],
)
def test_an_example_that_expects_something_else_fails(right: str, wrong: str, found: str) -> None:
    failures = check(parse.parse(DOCUMENT.replace(right, wrong), source="test"))
    assert any(found in str(failure) for failure in failures)
