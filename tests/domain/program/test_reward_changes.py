"""The next version of a program, with another stock of its rewards and nothing else."""

from datetime import date

from engage.domain.program import parse
from engage.domain.program.program import Program
from engage.domain.program.reward_changes import NextVersion, RewardTerms, next_version

DOCUMENT = """
id = "tea-club"
version = "2026"
title = "Tea club"
in_force_from = 2026-03-01

[eligibility]
min_age = 18
kinds = ["person"]
person_ref = "optional"

[expiry]
type = "never"

[countries]
ES = { zone = "Europe/Madrid", currency = "EUR" }  # The first shop.
GB = { zone = "Europe/London", currency = "GBP" }

[[rules]]
id = "purchase"
title = "Buy tea"
on = { activity = "order" }
limit = { type = "once_per", field = "order_id" }
award = { type = "per_spend", points = 1, step_minor = 100 }
due = { type = "on_delivery" }

[[rewards]]
type = "f_code"
id = "first_flush"
title = "First flush"
points = 100
product_id = "darjeeling"
stock = 1000  # Agreed with the grower.

[[examples]]
title = "Nothing is earned"
country = "ES"
total = 0

[[examples.steps]]
at = 2026-03-02T21:00:00
do = { activity = "app_sign_in" }
refused = "not_offered"

[[rewards]]
type = "coupon"
id = "cup"
title = "A cup"
points = 50
value_minor = 500
suspended = true
"""
LATER = (
    DOCUMENT.replace('"2026"', '"british"').replace("2026-03-01", "2026-05-01").replace("ES = ", "# ES = ")
)
TERMS = {"first_flush": RewardTerms(1500, suspended=True), "cup": RewardTerms(7, suspended=False)}


def read(text: str) -> Program:
    return parse.read(text, source="")


def made(*others: str, earliest: date = date(2026, 4, 1)) -> NextVersion | None:
    base = read(DOCUMENT)
    version = next_version(base, DOCUMENT, TERMS, [base, *map(read, others)], earliest=earliest)
    assert version is None or parse.parse(version.document, source="") == version.program
    return version


def test_only_stock_and_suspension_differ_and_comments_stay() -> None:
    version = made()
    assert version is not None
    after = version.program
    assert (after.version, after.in_force_from) == ("2026-2026-04-01", date(2026, 4, 1))
    assert [(each.stock, each.suspended) for each in after.rewards] == [(1500, True), (7, False)]
    assert "# Agreed with the grower." in version.document
    assert "# The first shop." in version.document
    assert after.examples == []


def test_a_change_back_leaves_no_trace_of_the_limit() -> None:
    base = read(DOCUMENT)
    terms = {"first_flush": RewardTerms(None, suspended=False)}
    version = next_version(base, DOCUMENT, terms, [base], earliest=date(2026, 4, 1))
    assert version is not None
    assert "stock" not in version.document
    assert [each.suspended for each in read(version.document).rewards] == [False, True]


def test_countries_of_newer_versions_are_left_to_them() -> None:
    version = made(LATER, earliest=date(2026, 6, 1))
    assert version is not None
    assert list(version.program.countries) == ["ES"]
    before = made(LATER)
    assert before is not None
    assert list(before.program.countries) == ["ES", "GB"]


def test_a_day_that_is_taken_is_not_used_twice() -> None:
    first = made()
    assert first is not None
    base, pending = read(DOCUMENT), read(first.document)
    again = next_version(pending, first.document, {}, [base, pending], earliest=date(2026, 4, 1))
    assert again is not None
    assert (again.program.version, again.program.in_force_from) == ("2026-2026-04-02", date(2026, 4, 2))


def test_a_version_that_was_replaced_everywhere_has_no_next_one() -> None:
    everywhere = LATER.replace("# ES", "ES")
    assert made(everywhere, earliest=date(2026, 6, 1)) is None
