"""Challenges and facts for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from engage.domain.challenges.courses import Course, Edition
from engage.domain.challenges.definition import Challenge
from engage.domain.challenges.facts import Fact

ZONE = "Europe/Madrid"

# A Monday, at noon in Madrid.
MONDAY = datetime(2026, 11, 16, 11, tzinfo=UTC)
TAPS = {"kind": "count", "activity": "fuel_tap"}


def challenge(**changes: Any) -> Challenge:
    """Three taps for 10 points, five for 30, once."""
    document = {
        "id": "taps",
        "title": {"en": "Taps"},
        "goal": TAPS,
        "steps": [{"at": 3, "points": 10}, {"at": 5, "points": 30}],
    }
    return msgspec.convert(document | changes, Challenge)


def course(*editions: tuple[datetime, Challenge | None]) -> Course:
    return Course([Edition(since, f"#{n}", each) for n, (since, each) in enumerate(editions, start=1)])


def days(count: float) -> datetime:
    """That many days after MONDAY."""
    return MONDAY + timedelta(days=count)


def tap(day: float, *, zone: str = ZONE, points: int = 2) -> Fact:
    at = days(day)
    return Fact(at, f"fuel_tap:{at.isoformat()}", zone, "fuel_tap", points=points)
