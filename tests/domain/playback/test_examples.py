"""Failures of examples, for every kind of expectation."""

import pytest

from engage import programs
from engage.domain.playback import examples
from engage.domain.program.parse import parse
from engage.domain.program.program import Program
from tests.domain.broken_documents import SOUND
from tests.domain.broken_shops import SHOP

# Changes of SHOP (old, new), the step that fails, its expected and its actual outcome.
WRONG: dict[str, tuple[str, str, int, str, str]] = {
    "a credit": (
        'rule = "purchase", points = 90',
        'rule = "purchase", points = 89',
        1,
        "purchase 89 due on delivery and big 9",
        "purchase 90 due on delivery and big 9",
    ),
    "when it is due": (
        'rule = "big", points = 9',
        'rule = "big", points = 9, waits_for = "delivery"',
        1,
        "purchase 90 due on delivery and big 9 due on delivery",
        "purchase 90 due on delivery and big 9 due 2026-03-02 00:00:00+01:00",
    ),
    "nothing earned": (
        '{ rule = "purchase", points = 90, waits_for = "delivery" }, { rule = "big", points = 9 }',
        "",
        1,
        "nothing",
        "purchase 90 and big 9",
    ),
    "a balance": (
        "balance = { active = 99 }",
        "balance = { active = 98, held = 1 }",
        2,
        "98 active, 0 pending, 1 held, 0 in debt",
        "99 active, 0 pending, 0 held, 0 in debt",
    ),
    "an end": (
        "{ points = 99, expires_at = 2028-01-31T12:00:00 }",
        "{ points = 99 }",
        2,
        "99 until never",
        "99 until 2028-01-31 12:00:00+01:00",
    ),
    "no points at all": (
        "expiring = [{ points = 99, expires_at = 2028-01-31T12:00:00 }]",
        "expiring = []",
        2,
        "no active points",
        "99 until 2028-01-31 12:00:00+01:00",
    ),
    "a coupon": (
        "gives = { value_minor = 500,",
        "gives = { value_minor = 501,",
        3,
        "a coupon of 501 until 2026-06-01 11:00:00+02:00",
        "a coupon of 500 until 2026-06-01 11:00:00+02:00",
    ),
    "an F-code": (
        "gives = { value_minor = 500, expires_at = 2026-06-01T11:00:00 }",
        'gives = { product_id = "sencha" }',
        3,
        "for sencha",
        "a coupon of 500",
    ),
    "a quote": (
        "max_points = 49, discount_minor = 490, reasons = []",
        'max_points = 50, discount_minor = 500, reasons = ["max_percent"]',
        4,
        "at most 50 points for 500, because of max_percent, coupons five_euros 500",
        "at most 49 points for 490, because of nothing, coupons five_euros 500",
    ),
    "a coupon's reason": (
        '{ reward = "five_euros", discount_minor = 500 }',
        '{ reward = "five_euros", reasons = ["minimum_order"] }',
        4,
        "at most 49 points for 490, because of nothing, coupons five_euros minimum_order",
        "at most 49 points for 490, because of nothing, coupons five_euros 500",
    ),
    "a payment": (
        "pays = { points = 40, discount_minor = 900 }",
        "pays = { points = 40, discount_minor = 400 }",
        5,
        "40 points, 400 in all",
        "40 points, 900 in all",
    ),
    "a refusal where there is none": (
        "pays = { points = 40, discount_minor = 900 }",
        'refused = "below_minimum"',
        5,
        "refusal below_minimum",
        "40 points, 900 in all",
    ),
    "another refusal": (
        'refused = "not_open_yet"',
        'refused = "below_minimum"',
        6,
        "refusal below_minimum",
        "refusal not_open_yet",
    ),
    "a refusal instead of a coupon": (
        "points = 50\nvalue_minor = 500",
        "points = 100\nvalue_minor = 500",
        3,
        "a coupon of 500 until 2026-06-01 11:00:00+02:00",
        "refusal insufficient_points",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_failure_shows_the_expected_and_the_actual_outcome(name: str) -> None:
    old, new, step, expected, found = WRONG[name]
    assert SHOP.count(old) >= 1
    first, *_ = examples.check(parse(SHOP.replace(old, new, 1), source="shop.toml"))
    assert (first.step, first.expected, first.found) == (step, expected, found)


def test_two_differences_of_a_step_are_one_failure() -> None:
    text = SHOP.replace("{ active = 99 }", "{ active = 1 }").replace("{ points = 99,", "{ points = 1,")
    (first,) = examples.check(parse(text, source="shop.toml"))
    assert first.expected == "1 active, 0 pending, 0 held, 0 in debt; 1 until 2028-01-31 12:00:00+01:00"
    assert first.found == "99 active, 0 pending, 0 held, 0 in debt; 99 until 2028-01-31 12:00:00+01:00"


OPEN = ("open = false", "open = true")
ASKED = '"withdraw", points = 50, method = "cash" }\nrefused = "not_open_yet"'


@pytest.mark.parametrize(
    ("points", "expectation"),
    [
        ("points = 99", 'refused = "insufficient_points"'),  # 40 of 49 are held.
        ("points = 10", 'refused = "below_minimum"'),
    ],
)
def test_an_open_withdrawal_checks_the_balance(points: str, expectation: str) -> None:
    text = SHOP.replace(*OPEN).replace("min_points = 50", "min_points = 9").replace("max_points_a_day", "#")
    if expectation == 'refused = "below_minimum"':
        text = text.replace("min_points = 9", "min_points = 10")
    text = text.replace(
        ASKED, ASKED.replace("points = 50", points).replace('refused = "not_open_yet"', expectation)
    )
    assert examples.check(parse(text, source="shop.toml")) == []


def test_open_withdrawals_hold_points_up_to_the_daily_limits() -> None:
    text = SHOP.replace(*OPEN)
    text = text.replace("min_points = 50\nmax_points_a_day = 500", "min_points = 1\nmax_count_a_day = 1")
    two_points = ASKED.replace("points = 50", "points = 2")
    step = f"\n[[examples.steps]]\nat = 2026-03-03T12:02:00\ndo = {{ activity = {two_points}\n"
    again = step.replace("not_open_yet", "limit_reached")
    # The hold of the checkout has timed out by then.
    tomorrow = step.replace("03T12:02:00", "04T00:00:00").replace(
        'refused = "not_open_yet"', "balance = { active = 45, held = 4 }"
    )
    first = two_points.replace('refused = "not_open_yet"', "balance = { active = 7, held = 42 }")
    found = examples.check(parse(text.replace(ASKED, first) + again + tomorrow, source="shop.toml"))
    assert [str(failure) for failure in found] == []


@pytest.mark.parametrize("name", programs.names())
def test_every_preset_has_examples_of_orders_and_rewards(name: str) -> None:
    program: Program = programs.preset(name)
    actions = {str(step.do.__struct_config__.tag) for example in program.examples for step in example.steps}
    assert {"join", "order", "order_delivered", "order_returned", "order_cancelled", "hold"} <= actions | (
        {"order_delivered"} if name.startswith("by-") else set()
    )
    assert ("redeem" in actions) == bool(program.rewards)


@pytest.mark.parametrize("born", ["1899-12-31", "9999-12-31"])
def test_a_member_of_an_example_has_a_possible_birth_date(born: str) -> None:
    example = f"""
[[examples]]
title = "Nobody is born then"
country = "ES"

[[examples.steps]]
at = 2026-06-01T10:00:00
do = {{ activity = "join", birth_date = {born} }}
refused = "invalid_birth_date"
"""
    text = programs.presets()["eu-mi-points/2022"].partition("[[examples]]")[0] + example
    assert examples.check(parse(text, source="born.toml")) == []
    (failure,) = examples.check(parse(text.replace("invalid_birth_date", "not_eligible"), source="born.toml"))
    assert failure.found == "refusal invalid_birth_date"


CLAIM = """
[[examples]]
title = "A review waits for the shop"
country = "ES"

[[examples.steps]]
at = 2026-03-01T10:00:00
do = { activity = "review", product_id = "sencha", review_id = "r-1" }
earns = [{ rule = "review", points = 20, waits_for = "confirmation" }]
balance = { pending = 20 }

[[examples.steps]]
at = 2026-03-02T10:00:00
do = { activity = "review_published", review_id = "r-1" }
balance = { active = 20 }

[[examples.steps]]
at = 2026-03-02T11:00:00
do = { activity = "review_published", review_id = "r-2" }
balance = { active = 20 }

[[examples.steps]]
at = 2026-03-02T12:00:00
do = { activity = "review", product_id = "oolong", review_id = "r-2" }
earns = [{ rule = "review", points = 20, due_at = 2026-03-02T12:00:00 }]
balance = { active = 40 }

[[examples.steps]]
at = 2026-03-03T10:00:00
do = { activity = "review", product_id = "pu-erh", review_id = "r-3" }
earns = [{ rule = "review", points = 20 }]

[[examples.steps]]
at = 2026-03-10T09:59:59
do = { activity = "wait" }
balance = { active = 40, pending = 20 }

[[examples.steps]]
at = 2026-03-10T10:00:00
do = { activity = "wait" }
balance = { active = 40 }

[[examples.steps]]
at = 2026-03-10T10:00:01
do = { activity = "review_published", review_id = "r-3" }
balance = { active = 40 }
"""


def test_a_review_that_waits_is_due_when_it_is_published_and_lapses_otherwise() -> None:
    waiting = SOUND.replace(
        'award = { type = "fixed", points = 20 }\ndue = { type = "after", delay = "PT5M" }',
        'award = { type = "fixed", points = 20 }\ndue = { type = "on_confirmation", within = "P7D" }',
    )
    assert waiting != SOUND
    assert [str(failure) for failure in examples.check(parse(waiting + CLAIM, source="tea.toml"))] == []
    wrong = CLAIM.replace('waits_for = "confirmation"', 'waits_for = "delivery"')
    (failure,) = examples.check(parse(waiting + wrong, source="tea.toml"))
    assert (failure.expected, failure.found) == ("review 20 due on delivery", "review 20 due on confirmation")
