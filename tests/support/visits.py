"""A program that pays for visits: of any page, of named pages, and once for each page."""

from engage.domain.activity import Visit
from tests.support.programs import rule

PROGRAM = "browsing"

DOCUMENT = """
id = "browsing"
version = "1"
title = "Browse and earn"
in_force_from = 2020-01-01
eligibility = { person_ref = "optional" }
expiry = { type = "rolling", months = 12 }

[countries]
ES = { zone = "Europe/Madrid", currency = "EUR" }
""" + "".join(
    [
        rule("browse", 'activity = "visit"', 'type = "per_window", count = 3, window = "day"', 5),
        rule("offers", 'activity = "visit", page = "offers"', 'type = "once"', 20),
        rule("new_pages", 'activity = "visit"', 'type = "once_per", field = "page"', 1),
    ]
)


def visit(page: str) -> Visit:
    return Visit(page=page)
