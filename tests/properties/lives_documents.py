"""Random campaigns with all kinds of boosts, rules, audiences, stacking and budgets, and their program."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from tests.properties.lives_model import DAYS, PROGRAM, ZONES, Document
from tests.support.clock import NOON
from tests.support.programs import rule

SEGMENT = "listed"
PRODUCTS, CATEGORIES, CHANNELS = ("phone", "case"), ("phones", "other"), ("web", "app", "store")

TERMS = (
    f"""
id = "{PROGRAM}"
version = "1"
title = "Lives"
in_force_from = 2020-01-01
eligibility = {{ min_age = 18, person_ref = "optional" }}
expiry = {{ type = "rolling", months = 12 }}
countries.ES = {{ zone = "{ZONES["ES"]}", currency = "EUR" }}
countries.IN = {{ zone = "{ZONES["IN"]}", currency = "INR" }}
"""
    + rule("registration", 'activity = "registration"', 'type = "once"', 50)
    + rule("fuel", 'activity = "fuel_tap"', 'type = "daily_streak"', 3)
    + rule("share", 'activity = "share", kind = "link"', 'type = "per_window", count = 1, window = "day"', 10)
    + rule("review", 'activity = "review"', 'type = "once_per", field = "product_id"', 20)
    + rule(
        "purchase",
        'activity = "order"',
        'type = "once_per", field = "order_id"',
        'type = "per_spend", points = 1, step_minor = 100',
        due='type = "on_delivery"',
    )
    + """
[[tier_groups]]
id = "spend"
metric = "spend_minor"
window = "lifetime"
grace = "P30D"

[[tier_groups.levels]]
id = "blue"
title = { en = "Blue" }
from = 0

[[tier_groups.levels]]
id = "silver"
title = { en = "Silver" }
from = 100_00
"""
)

_TODAY = datetime(NOON.year, NOON.month, NOON.day)  # noqa: DTZ001  # A local time.

# How campaigns pay. What most have is there several times.
POINTS = ({"multiply": 2}, {"multiply": 1.5}, {"multiply": 3}, {"add": 5})
ABOUT = (["fuel"], ["share"], ["review"], ["fuel", "share", "review", "registration"], *[["purchase"]] * 4)
HOURS = (["10:00", "14:00"], ["17:30", "18:00"], ["22:00", "06:00"], ["12:00", "24:00"])
OF_ORDERS: Sequence[Document] = (
    {"products": ["phone"]},
    {"categories": ["phones"]},
    {"products": ["case"], "min_amount_minor": 10_00},
    {"channels": ["web", "app"]},
    {"min_amount_minor": 20_00},
)
AUDIENCES: Sequence[Document] = (
    *[{}] * 12,
    {"countries": ["ES"]},
    {"countries": ["IN"], "percent": 60},
    {"joined_before": "2026-11-21T12:00:00"},
    {"joined_after": "2026-11-21T12:00:00"},
    {"first_order": True},
    {"no_order_for": "P2D"},
    {"percent": 50},
    {"tiers": ["silver"]},
    {"segments": [SEGMENT]},
    {"tiers": ["silver"], "segments": [SEGMENT]},
)
STACKING: Sequence[Document] = (
    *[{}] * 4,
    {"group": "double", "priority": 1},
    {"group": "double", "priority": 2},
    {"exclusive": True, "priority": -1},
    {"exclusive": True, "priority": 3},
    {"max_multiplier": 2},
    {"max_multiplier": 2.5, "priority": 1},
)
BUDGETS: Sequence[Document | None] = (
    *[None] * 3,
    {"points": 150},
    {"points": 40},
    {"count": 3},
    {"points_per_member": 45},
    {"points": 120, "count": 6, "points_per_member": 70},
)


# Of one kind, as it is nobody's promise which limit is asked first for a credit that is paid whole.
BUDGETS_OF_RULES: Sequence[Document | None] = (
    *[None] * 3,
    {"points": 100},
    {"points": 15},
    {"count": 4},
    {"points_per_member": 20},
)


def document(chance: Random, id_: str) -> Document:
    """A valid document whose time is around that of the scenario."""
    begin = _TODAY + timedelta(hours=chance.choice([-60, -60, -60, -60, 13, 30]))
    until = begin + timedelta(hours=chance.choice([90, 140, 240, 240]))
    found: Document = {
        "id": id_,
        "program": PROGRAM,
        "title": {"en": id_},
        "from": begin.isoformat(),
        "until": until.isoformat(),
        "zone": chance.choice(["member", "member", *ZONES.values()]),
        "audience": chance.choice(AUDIENCES),
        "holdout_percent": chance.choice([0] * 6 + [40]),
        "boosts": _boosts(chance, until),
        "rules": [],
        "stacking": chance.choice(STACKING),
        "budget": chance.choice(BUDGETS),
    }
    if chance.random() < 0.4:
        found["budget"] = chance.choice(BUDGETS_OF_RULES)
        found["rules"] = _rules(chance, id_)
        own = [each["id"] for each in found["rules"]]
        found["boosts"] += [{"id": "own", "rules": own, "multiply": 2}] * chance.randrange(2)
    return found


def next_version(chance: Random, before: Document) -> Document:
    """Another document of a campaign, which keeps its rules and the kinds of its limits."""
    found = document(chance, before["id"])
    found["rules"] = before["rules"]
    own = [each for each in before["boosts"] if each["id"] == "own"]
    found["boosts"] = [each for each in found["boosts"] if each["id"] != "own"] + own
    found["budget"] = before["budget"] and {
        name: max(1, int(limit * chance.choice([0.5, 1, 2]))) for name, limit in before["budget"].items()
    }
    if (found["budget"] or {}).keys() >= {"points", "points_per_member"}:
        found["budget"]["points"] = max(found["budget"]["points"], found["budget"]["points_per_member"])
    return found


def _boosts(chance: Random, until: datetime) -> list[Document]:
    """One or two: of two the first holds at times, or for a part of what the other one is about."""
    rules = chance.choice(ABOUT)
    general: Document = {"id": "general", "rules": rules} | chance.choice(POINTS)
    if chance.random() < 0.5:
        return [general]
    special: Document = {"id": "special", "rules": rules} | chance.choice(POINTS)
    if rules == ["purchase"]:
        special |= chance.choice(OF_ORDERS)
    if rules != ["purchase"] or chance.random() < 0.1:
        special["hours"] = chance.choice(HOURS)
    if chance.random() < 0.3:
        last = until - timedelta(hours=1)
        special["weekdays"] = sorted({DAYS[_TODAY.weekday()], DAYS[last.weekday()]})
    return [special, general] if chance.random() < 0.8 else [special]


def _rules(chance: Random, id_: str) -> list[Document]:
    def own(name: str, on: Document, limit: Document, points: int) -> Document:
        return {
            "id": f"{name}_{id_}",
            "title": name,
            "on": on,
            "limit": limit,
            "award": {"type": "fixed", "points": points},
            "due": {"type": "after", "delay": "PT5M"},
        }

    extra = own("extra", {"activity": "review"}, {"type": "same_as", "rule": "review"}, 7)
    talk = own("talk", {"activity": "share", "kind": "link"}, {"type": "once"}, 4)
    gift = own("gift", {"activity": "order"}, {"type": "once_per", "field": "order_id"}, 0) | {
        "award": {"type": "per_spend", "points": 1, "step_minor": 500},
        "due": {"type": "on_delivery"},
    }
    return chance.choice([[extra], [talk], [gift], [gift, extra], [extra, talk, gift]])
