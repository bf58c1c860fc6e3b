"""Examples of campaigns: played under the program version of their time, on a member with the facts given."""

import pytest

from engage import programs
from engage.domain.campaigns.example_validation import example_problems
from engage.domain.playback import campaign_examples
from tests.domain.campaigns.campaigns import campaign

EUROPE = [programs.preset(f"eu-mi-points/{version}") for version in ("2020", "2022", "2025")]

BOOSTS = """
[[boosts]]
id = "double"
rules = ["registration", "app_sign_in"]
multiply = 2

[[boosts]]
id = "phones"
rules = ["purchase"]
multiply = 2
products = ["redmi-note-11"]
"""

RULES = """
[[rules]]
id = "visit_stand"
title = "Visit the stand"
on = { activity = "visit", page = "stand" }
limit = { type = "per_window", count = 1, window = "day" }
award = { type = "fixed", points = 7 }
due = { type = "after", delay = "PT5M" }

[[quizzes]]
id = "week"
title = { en = "A quiz" }
attempts = { count = 1, window = "ever" }
time_limit = "PT2M"
points_per_right = 3

[[quizzes.questions]]
id = "q"
kind = "one"
text = { en = "One?" }
options = [{ id = "a", text = { en = "1" } }, { id = "b", text = { en = "2" } }]
right = ["a"]
"""


def example(steps: str, *, facts: str = "", country: str = "ES") -> str:
    steps = "\n".join(f"[[examples.steps]]\n{step.strip()}\n" for step in steps.strip().split("\n\n"))
    return f'\n[[examples]]\ntitle = "A member"\ncountry = "{country}"\n{facts}\n{steps}'


ORDER = """channel = "web", payment = { method = "card" }, currency = "EUR", lines = [
    { line_id = "1", product_id = "redmi-note-11", quantity = 2, paid = 19990 },
    { line_id = "2", product_id = "case", paid = 1010 },
]"""

BOOSTED = example(f"""
at = 2022-09-20T23:59:59
do = {{ activity = "app_sign_in" }}
earns = [{{ rule = "app_sign_in", points = 50 }}]

at = 2022-09-21T00:00:00
do = {{ activity = "registration" }}
earns = [
    {{ rule = "registration", points = 50, source_key = "registration", due_at = 2022-09-21T00:05:00 }},
    {{ rule = "registration", boost = "double", points = 50, source_key = "registration+week" }},
]

at = 2022-09-21T10:00:00
do = {{ activity = "order", order_id = "o", {ORDER} }}
earns = [
    {{ rule = "purchase", points = 210, waits_for = "delivery" }},
    {{ rule = "purchase", boost = "phones", points = 199, source_key = "order:o:purchase+week" }},
]

at = 2022-09-25T10:00:00
do = {{ activity = "order_delivered", order_id = "o" }}
balance = {{ active = 559 }}

at = 2022-09-26T10:00:00
do = {{ activity = "order_returned", order_id = "o", lines = {{ "2" = 1 }} }}
balance = {{ active = 549 }}

at = 2022-09-26T11:00:00
do = {{ activity = "order_returned", order_id = "o", lines = {{ "1" = 1 }} }}
balance = {{ active = 350 }}

at = 2022-09-26T12:00:00
do = {{ activity = "order_returned", order_id = "o", lines = {{ "1" = 1 }} }}
balance = {{ active = 150 }}
""")

OWN = example("""
at = 2022-09-20T10:00:00
do = { activity = "visit", page = "stand" }
refused = "not_offered"

at = 2022-09-20T10:00:00
do = { activity = "start_quiz", quiz_id = "week" }
refused = "not_found"

at = 2022-09-21T10:00:00
do = { activity = "visit", page = "stand" }
earns = [{ rule = "visit_stand", points = 7, source_key = "visit_stand:2022-09-21:1" }]

at = 2022-09-21T11:00:00
do = { activity = "visit", page = "stand" }
refused = "limit_reached"

at = 2022-09-21T11:00:00
do = { activity = "start_quiz", quiz_id = "week" }
asks = { attempts_left = 0, questions = 1, expires_at = 2022-09-21T11:02:00 }

at = 2022-09-21T11:01:00
do = { activity = "answer_quiz", quiz_id = "week" }
earns = [{ rule = "quiz:week", points = 3 }]

at = 2022-09-26T00:00:00
do = { activity = "visit", page = "stand" }
refused = "not_offered"
""")


@pytest.mark.parametrize("steps", [BOOSTED, OWN], ids=["boosts", "own rules and definitions"])
def test_examples_that_hold_are_found_valid_and_play(steps: str) -> None:
    valid = campaign(BOOSTS + RULES + steps)
    assert [str(problem) for problem in example_problems(valid, EUROPE)] == []
    assert [str(failure) for failure in campaign_examples.check(valid, EUROPE)] == []


def test_a_failure_shows_the_expected_and_the_actual_credits() -> None:
    (failure,) = campaign_examples.check(
        campaign(BOOSTS + BOOSTED.replace("points = 199", "points = 200")), EUROPE
    )
    assert (failure.index, failure.step) == (0, 3)
    assert "purchase 200 by phones as order:o:purchase+week" in failure.expected
    assert "purchase 199 by phones as order:o:purchase+week" in failure.found


SIGNS_IN = """
at = 2022-09-21T10:00:00
do = { activity = "app_sign_in" }
"""
PLAIN = 'earns = [{ rule = "app_sign_in", points = 50 }]'
DOUBLE = PLAIN.replace("]", ', { rule = "app_sign_in", boost = "double", points = 50 }]')

AUDIENCES = {
    "another country": ('countries = ["FR"]', "", PLAIN),
    "the country": ('countries = ["FR", "ES"]', "", DOUBLE),
    "no segment": ('segments = ["vip"]', 'segments = ["other"]', PLAIN),
    "the segment": ('segments = ["vip"]', 'segments = ["other", "vip"]', DOUBLE),
    "joined too late": ("joined_before = 2022-09-01T00:00:00", "joined_at = 2022-09-01T00:00:00", PLAIN),
    "joined in time": ("joined_before = 2022-09-01T00:00:00", "joined_at = 2022-08-31T23:59:59", DOUBLE),
    "joins in the example": ("joined_after = 2022-09-21T10:00:00", "", DOUBLE),
    "a share of members": ("percent = 1", "", DOUBLE),
}


@pytest.mark.parametrize("name", AUDIENCES)
def test_the_facts_of_an_example_decide_about_the_audience(name: str) -> None:
    audience, facts, earns = AUDIENCES[name]
    text = f"audience = {{ {audience} }}\n{BOOSTS}" + example(SIGNS_IN + earns, facts=facts)
    assert [str(failure) for failure in campaign_examples.check(campaign(text), EUROPE)] == []


@pytest.mark.parametrize(
    ("percent", "facts", "earns"),
    [(10, "", DOUBLE), (10, "held_out = true", PLAIN), (0, "held_out = true", DOUBLE)],
)
def test_a_member_is_held_out_where_an_example_says_so(percent: int, facts: str, earns: str) -> None:
    text = f"holdout_percent = {percent}\n{BOOSTS}" + example(SIGNS_IN + earns, facts=facts)
    assert [str(failure) for failure in campaign_examples.check(campaign(text), EUROPE)] == []


def test_each_example_is_played_under_the_version_of_its_time() -> None:
    """The first sign-in pays 30 in 2020, 50 in 2022, and in 2025 in the United Kingdom 100."""
    for day, country, points in [
        ("2021-02-01", "GB", 30),
        ("2023-02-01", "GB", 50),
        ("2025-07-01", "GB", 100),
    ]:
        steps = f"at = {day}T10:00:00\n{SIGNS_IN.split(chr(10), 2)[2]}" + PLAIN.replace("50", str(points))
        text = BOOSTS + example(steps, country=country)
        assert [str(failure) for failure in campaign_examples.check(campaign(text), EUROPE)] == []


PROBLEMS = {
    "examples[0].country": example(SIGNS_IN + PLAIN, country="BF"),
    "examples[0].steps[0].at": example(SIGNS_IN.replace("2022", "2019") + PLAIN),
    "examples[0].steps[1].at": example(
        SIGNS_IN + PLAIN + "\n\n" + SIGNS_IN.replace("2022", "2025") + PLAIN, country="GB"
    ),
    "examples[0].joined_at": example(SIGNS_IN + PLAIN, facts="joined_at = 2022-09-21T10:00:01"),
    "examples[0].steps[0].earns[0].rule": example(SIGNS_IN + PLAIN.replace("app_sign", "sign")),
    "examples[0].steps[0]": example(SIGNS_IN),
}


@pytest.mark.parametrize("path", PROBLEMS)
def test_a_mistake_in_an_example_is_told_at_its_field(path: str) -> None:
    (problem,) = example_problems(campaign(BOOSTS + PROBLEMS[path]), EUROPE)
    assert problem.path == path


def test_a_rule_without_a_due_time_pays_after_five_minutes() -> None:
    rules = RULES.replace('due = { type = "after", delay = "PT5M" }\n', "")
    assert rules != RULES
    steps = """
at = 2022-09-22T10:00:00
do = { activity = "visit", page = "stand" }
earns = [{ rule = "visit_stand", points = 7, due_at = 2022-09-22T10:05:00 }]
"""
    document = campaign(rules + example(steps))
    assert campaign_examples.check(document, EUROPE) == []
    assert document == campaign(RULES + example(steps))
