"""A copy of the program of the benchmarks with all of engagement: twenty challenges that every tap may count
for, tiers, referrals, a leaderboard, a quiz, a game and a draw.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from engage.bench.setup.constants import PRESET
from engage.domain.definitions.kind import DefinitionKind
from engage.domain.program.kinds import KINDS
from engage.domain.program.program import Program
from engage.flows.definitions.change import add_definition
from engage.flows.programs.publish import publish
from engage.programs import text
from engage.runtime.services import Services

ENGAGED: Final = "engaged"

_SECTIONS: Final = """
[referral]
advocate = { on = "registration", points = 50 }
friend = { on = "registration", points = 50 }

[[tier_groups]]
id = "loyalty"
metric = "points_earned"
window = "calendar_year"
levels = [
    { id = "basic", title = { en = "Basic" }, from = 0 },
    { id = "gold", title = { en = "Gold" }, from = 1000, benefits = { multiply = 1.5 } },
]
"""

_GOALS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "count", "activity": "fuel_tap"},
    {"kind": "points_earned"},
    {"kind": "count", "activity": "review"},
    {"kind": "spend_minor"},
    {
        "kind": "all_of",
        "goals": [
            {"kind": "count", "activity": "fuel_tap", "of": 20},
            {"kind": "distinct_products", "activity": "review", "of": 3},
        ],
    },
)
_REPEATS: Final = (None, "daily", "weekly", "monthly")

CHALLENGES: Final = len(_GOALS) * len(_REPEATS)


async def publish_engaged(services: Services) -> Program:
    """Publish the program, and add all definitions, unless an earlier benchmark of this environment has.
    Processes know them within two seconds.
    """
    await services.programs.refresh(services.db)
    if known := services.programs.versions(ENGAGED):
        return known[-1]
    document = (
        text(PRESET).partition("\n[[examples]]")[0].replace('id = "eu-mi-points"', f'id = "{ENGAGED}"', 1)
    )
    now = services.clock.now()
    program, _ = await publish(
        services.db, document + _SECTIONS, source=ENGAGED, operator="bench", clock=services.clock
    )
    await services.programs.refresh(services.db)
    for kind in KINDS:
        for each in _definitions(kind, now):
            fields = {"program": ENGAGED, "title": {"en": "Benchmark"}} | each
            await add_definition(services, kind, msgspec.convert(fields, kind.struct), operator="bench")
    return program


def _definitions(kind: DefinitionKind[Any], now: datetime) -> list[dict[str, Any]]:
    """The definitions of a kind. Those of kinds that have none here are not needed by taps."""
    yesterday, tomorrow = now - timedelta(days=1), now + timedelta(days=1)
    match kind.name:
        case "challenge":
            return [
                {"id": f"goal_{n}_{repeats}", "goal": goal, "repeats": repeats, "steps": _steps(goal)}
                for n, goal in enumerate(_GOALS)
                for repeats in _REPEATS
            ]
        case "leaderboard":
            return [{"id": "points", "score": "points_earned", "resets": "monthly"}]
        case "quiz":
            question = {
                "id": "q1",
                "kind": "one",
                "text": {"en": "Yes?"},
                "options": [{"id": "yes", "text": {"en": "Yes"}}, {"id": "no", "text": {"en": "No"}}],
                "right": ["yes"],
            }
            return [
                {
                    "id": "quiz",
                    "attempts": {"count": 1, "window": "day"},
                    "time_limit": "PT2M",
                    "points_per_right": 5,
                    "questions": [question],
                }
            ]
        case "game":
            prize = {"id": "ten", "title": {"en": "Ten"}, "odds": "1/20", "stock": 1000, "points": 10}
            return [
                {
                    "id": "wheel",
                    "from": yesterday,
                    "until": tomorrow,
                    "chances": {"count": 1, "window": "day"},
                    "prizes": [prize],
                }
            ]
        case "draw":
            return [
                {
                    "id": "draw",
                    "opens_at": yesterday,
                    "closes_at": tomorrow,
                    "winners": 1,
                    "points": 100,
                    "one_entry_per": "member",
                }
            ]
        case _:
            return []


def _steps(goal: dict[str, Any]) -> list[dict[str, int]]:
    """Steps of which a first tap reaches none: what a completed challenge costs is another measurement."""
    return [{"at": 1, "points": 5}] if goal["kind"] == "all_of" else [{"at": 50, "points": 5}]
