"""Two copies of the program of the benchmarks, and campaigns of all kinds that run in one of them.

Of twenty kinds five are about taps and seven about orders, and three of five campaigns of a kind are for the
country of the members of the benchmarks. Most of these members get nothing of a campaign, as it is where
campaigns are for tiers, segments and shares of members: the benchmark says how many credits are added.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from engage.bench.setup.constants import PRESET
from engage.domain.campaigns.definition import Campaign
from engage.domain.identity import Operator
from engage.domain.program.program import Program
from engage.flows.campaigns.act import act
from engage.flows.campaigns.change import create
from engage.flows.programs.publish import publish
from engage.flows.segments.id_list import IdList
from engage.flows.segments.replace_list import replace_list
from engage.programs import text
from engage.runtime.services import Services

QUIET: Final = "quiet"
CAMPAIGNING: Final = "campaigning"
SEGMENT: Final = "regulars"
AUTHOR, APPROVER = Operator("1", "author"), Operator("2", "approver")

# No level multiplies, so nothing but a campaign asks for the levels of members.
_SECTIONS: Final = """
[[tier_groups]]
id = "loyalty"
metric = "points_earned"
window = "calendar_year"
levels = [
    { id = "basic", title = { en = "Basic" }, from = 0 },
    { id = "gold", title = { en = "Gold" }, from = 1000 },
]
"""

# Of the five campaigns of a kind. The members of benchmarks are in Spain.
_COUNTRIES: Final[tuple[list[str] | None, ...]] = (None, ["ES"], ["FR", "IT"], ["DE"], ["ES", "NL"])

_QUESTION: Final = {
    "id": "q1",
    "kind": "one",
    "text": {"en": "Yes?"},
    "options": [{"id": "yes", "text": {"en": "Yes"}}, {"id": "no", "text": {"en": "No"}}],
    "right": ["yes"],
}


async def publish_copies(services: Services) -> tuple[Program, Program]:
    """Publish the program QUIET, and CAMPAIGNING, which is the same and has no campaigns yet."""
    document = text(PRESET).partition("\n[[examples]]")[0] + _SECTIONS
    programs = []
    for id_ in (QUIET, CAMPAIGNING):
        copy = document.replace('id = "eu-mi-points"', f'id = "{id_}"', 1)
        program, _ = await publish(services.db, copy, source=id_, operator="bench", clock=services.clock)
        programs.append(program)
    await services.programs.refresh(services.db)
    return programs[0], programs[1]


async def run_campaigns(services: Services, count: int, regulars: Sequence[str]) -> None:
    """Approve campaigns of CAMPAIGNING, in which the members `regulars` are a segment. They are in force, and
    known to all processes, within two seconds.
    """
    key = CAMPAIGNING, SEGMENT
    with IdList(most=len(regulars)) as ids:
        ids.add("".join(f"{member}\n" for member in regulars).encode())
        ids.close()
        await replace_list(services.db, services.clock, key, ids, operator="bench")
    for campaign in campaigns(count, services.clock.now()):
        await create(services, campaign, operator=AUTHOR)
        name = campaign.program, campaign.id
        await act(services, name, "submitted", operator=AUTHOR)
        await act(services, name, "approved", operator=APPROVER)


def campaigns(count: int, now: datetime) -> Iterator[Campaign]:
    """As many campaigns of CAMPAIGNING that run now, of all kinds in turn."""
    begin, end = now - timedelta(days=1), now + timedelta(days=30)
    of_each = [_KINDS[n % len(_KINDS)] for n in range(count)]
    for n, fields in enumerate(of_each):
        id_ = f"campaign_{n}"
        document: dict[str, Any] = {
            "id": id_,
            "program": CAMPAIGNING,
            "title": {"en": id_},
            "from": begin.replace(tzinfo=None, microsecond=0),
            "until": end.replace(tzinfo=None, microsecond=0),
        } | fields
        countries = _COUNTRIES[n // len(_KINDS) % len(_COUNTRIES)]
        if countries is not None:
            document["audience"] = document.get("audience", {}) | {"countries": countries}
        yield msgspec.convert(_numbered(document, n), Campaign)


def _numbered(value: Any, number: int) -> Any:
    """A part of a document with the number of its campaign in its ids: ids of rules are for ever."""
    match value:
        case dict():
            return {key: _numbered(item, number) for key, item in value.items()}
        case list():
            return [_numbered(item, number) for item in value]
        case str():
            return value.replace("{n}", str(number))
        case _:
            return value


def _boost(rule: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": "more", "rules": [rule]} | fields]


_KINDS: Final[tuple[dict[str, Any], ...]] = (
    # About taps.
    {"audience": {"tiers": ["gold"]}, "boosts": _boost("fuel", multiply=2)},
    {
        "audience": {"segments": [SEGMENT]},
        "boosts": _boost("fuel", multiply=2, hours=["00:00", "24:00"]),
        "stacking": {"group": "taps", "priority": 2},
    },
    {"audience": {"joined_before": "2020-01-01T00:00:00"}, "boosts": _boost("fuel", multiply=3)},
    {
        "audience": {"percent": 2, "no_order_for": "P90D"},
        "holdout_percent": 10,
        "boosts": _boost("fuel", add=3, weekdays=["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
        "stacking": {"group": "taps"},
    },
    {
        "audience": {"percent": 1, "first_order": True},
        "rules": [
            {
                "id": "welcome_{n}",
                "title": "Welcome back",
                "on": {"activity": "fuel_tap"},
                "limit": {"type": "once"},
                "award": {"type": "fixed", "points": 5},
                "due": {"type": "after", "delay": "PT5M"},
            }
        ],
    },
    # About orders.
    {"boosts": _boost("purchase", multiply=2, categories=["phones"])},
    {"boosts": _boost("purchase", add=10, min_amount_minor=50_000, channels=["app"])},
    {"audience": {"tiers": ["gold"]}, "boosts": _boost("purchase", multiply=1.5)},
    {"audience": {"percent": 5, "first_order": True}, "boosts": _boost("purchase", multiply=2)},
    {
        "audience": {"segments": [SEGMENT], "no_order_for": "P30D"},
        "boosts": _boost("purchase", multiply=2),
        "stacking": {"group": "orders", "max_multiplier": 3},
    },
    {
        "audience": {"percent": 2},
        "holdout_percent": 20,
        "boosts": _boost("purchase", add=5, products=["band", "watch"]),
        "stacking": {"group": "orders", "priority": 3},
        "budget": {"points": 1_000_000, "points_per_member": 50},
    },
    {"boosts": _boost("purchase", multiply=3, products=["phone-1", "phone-2"], channels=["web"])},
    # About reviews, shares and joining.
    {"boosts": _boost("review", multiply=2, hours=["10:00", "14:00"])},
    {
        "audience": {"percent": 20},
        "boosts": _boost("review", add=5, weekdays=["sat", "sun"]),
        "budget": {"points": 100_000, "alerts": [50, 100]},
    },
    {"audience": {"joined_after": "2026-01-01T00:00:00"}, "boosts": _boost("share_social", multiply=2)},
    {"boosts": _boost("registration", multiply=2), "stacking": {"exclusive": True}},
    # Parts of their own.
    {"offers": [{"reward": "coupon_5", "percent": 20}]},
    {
        "quizzes": [
            {
                "id": "quiz_{n}",
                "title": {"en": "Quiz"},
                "attempts": {"count": 1, "window": "day"},
                "time_limit": "PT2M",
                "points_per_right": 5,
                "questions": [_QUESTION],
            }
        ]
    },
    {
        "rules": [
            {
                "id": "reviewer_{n}",
                "title": "The first review of the season",
                "on": {"activity": "review"},
                "limit": {"type": "once"},
                "award": {"type": "fixed", "points": 30},
                "due": {"type": "after", "delay": "PT5M"},
            }
        ]
    },
    {"offers": [{"reward": "coupon_10", "points": 800, "stock": 100}]},
)
