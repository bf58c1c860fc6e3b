"""Sound documents of each kind that an operator sends, to be made wrong."""

from typing import Any

import msgspec

from engage import programs
from engage.domain.campaigns.definition import Campaign
from engage.programs import campaigns
from tests.support.quizzes import quiz_document

PROGRAM = "eu-mi-points"

TIMES = {"from": "2026-03-01T00:00:00", "until": "2026-03-10T00:00:00+01:00"}
TAPS = {"kind": "count", "activity": "fuel_tap"}
DEFINITIONS: dict[str, dict[str, Any]] = {
    "quiz": quiz_document(program=PROGRAM, **TIMES),
    "game": {
        "id": "wheel",
        "title": {"en": "Wheel"},
        "chances": {"count": 1, "window": "day", "extra_after": "PT1H"},
        "prizes": [{"id": "p", "title": {"en": "P"}, "odds": "1/2", "stock": 5, "points": 50}],
        **TIMES,
    },
    "draw": {
        "id": "raffle",
        "title": {"en": "Raffle"},
        "opens_at": "2026-03-01T00:00:00",
        "closes_at": "2026-03-10T00:00:00Z",
        "winners": 3,
        "points": 50,
        "conditions": {"hashtag": "#spring", "mentions": 2},
    },
    "challenge": {
        "id": "taps",
        "title": {"en": "Taps"},
        "goal": {"kind": "all_of", "goals": [TAPS | {"of": 2}, {"kind": "points_earned", "of": 5}]},
        "steps": [{"at": 1, "points": 10}, {"at": 2, "points": 30}],
        "due": {"type": "after", "delay": "PT5M"},
        **TIMES,
    },
    "leaderboard": {
        "id": "board",
        "title": {"en": "Board"},
        "score": "points_earned",
        "resets": "weekly",
        **TIMES,
    },
}

CAMPAIGNS: list[dict[str, Any]] = [msgspec.to_builtins(campaigns.read(name)) for name in campaigns.names()]


def versions_of(campaign: Campaign) -> list[Any]:
    """The preset versions of a campaign's program."""
    return [programs.read(name) for name in programs.names() if name.startswith(f"{campaign.program}/")]
