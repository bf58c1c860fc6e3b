"""Challenges over HTTP: operators define them, members see how far they are."""

from typing import Any

import pytest

from engage.flows.scheduled.reactions import react_due
from tests.api.calling import Calling

CHALLENGES = "/v1/me/challenges"

TAPPER: dict[str, Any] = {
    "id": "tapper",
    "program": "eu-mi-points",
    "title": {"en": "Tapper", "fr": "Tapoteur"},
    "repeats": "monthly",
    "goal": {"kind": "count", "activity": "fuel_tap"},
    "steps": [{"at": 1, "points": 7}, {"at": 2, "reward": "coupon_5"}],
}


async def test_a_challenge_is_defined_shown_and_paid(api: Calling) -> None:
    created = await api.operator.post("/v1/admin/challenges", TAPPER)
    assert created.status_code == 201
    assert created.json()["id"] == "tapper"
    again = await api.operator.post("/v1/admin/challenges", TAPPER)
    assert (again.status_code, again.json()["code"]) == (409, "exists")
    member = await api.joined()
    await member.post("/v1/fuel/taps")
    answer = await member.get(CHALLENGES, accept_language="fr")
    (item,) = [each for each in answer.json()["items"] if each["id"] == "tapper"]
    assert item["title"] == "Tapoteur"
    assert (item["progress"], item["state"], item["goal"]) == (1, "running", TAPPER["goal"])
    first, second = item["steps"]
    assert (first["at"], first["points"]) == (1, 7)
    assert first["reached_at"] == api.services.clock.now().isoformat().replace("+00:00", "Z")
    assert second == {"at": 2, "points": 0, "reward": "coupon_5"}
    await react_due(api.services, now=api.services.clock.now())
    credits = (await member.get("/v1/me/credits")).json()["items"]
    (paid,) = [credit for credit in credits if credit["rule"] == "challenge:tapper"]
    assert (paid["points"], paid["state"]) == (7, "pending")
    assert paid["why"]["text"].endswith("A step of the challenge is reached, the one at 1: 7 points.")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"steps": [{"at": 2, "points": 1}, {"at": 1, "points": 1}]}, "steps[1].at"),
        ({"goal": {"kind": "count", "activity": "sleep"}}, "goal.activity"),
        ({"steps": [{"at": 1, "reward": "car"}]}, "steps[0].reward"),
        ({"steps": []}, "steps"),
        ({"repeats": "hourly"}, "repeats"),
        ({"goal": {"kind": "luck"}}, "goal.kind"),
    ],
)
async def test_a_challenge_that_cannot_work_is_refused(
    api: Calling, changes: dict[str, Any], field: str
) -> None:
    answer = await api.operator.post("/v1/admin/challenges", TAPPER | {"id": "broken"} | changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_document")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_only_members_see_challenges(api: Calling) -> None:
    answer = await api.operator.get(CHALLENGES)
    assert answer.status_code in (401, 403)
