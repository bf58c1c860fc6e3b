"""Operators add and change definitions while the program runs: the same calls for each kind."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from engage.domain.program.kinds import KINDS
from engage.flows.operations.keys import create_key
from engage.runtime.services import DEFINITIONS_S
from engage.settings import Settings
from tests.api.calling import PROGRAM, Caller, Calling, calling, problem
from tests.support.clock import NOON, StoppedClock
from tests.support.eventually import LOOK_AGAIN_S

OTHER = "by-mi-bonus"
SOUND: dict[str, dict[str, Any]] = {
    "leaderboard": {"score": "points_earned", "resets": "weekly"},
    "challenge": {"goal": {"kind": "count", "activity": "fuel_tap"}, "steps": [{"at": 3, "points": 10}]},
    "game": {
        "from": "2026-11-01T00:00:00",
        "until": "2026-12-01T00:00:00Z",
        "chances": {"count": 1, "window": "day"},
        "prizes": [{"id": "small", "title": {"en": "5 points"}, "odds": "1/2", "stock": 9, "points": 5}],
    },
    "quiz": {
        "attempts": {"count": 1, "window": "day"},
        "time_limit": "PT2M",
        "points_per_right": 5,
        "questions": [
            {
                "id": "q1",
                "kind": "one",
                "text": {"en": "One?"},
                "options": [{"id": "a", "text": {"en": "A"}}, {"id": "b", "text": {"en": "B"}}],
                "right": ["a"],
            }
        ],
    },
    "draw": {
        "opens_at": "2026-11-01T00:00:00Z",
        "closes_at": "2026-12-01T00:00:00Z",
        "winners": 1,
        "points": 500,
    },
}
# What is wrong with one field of each kind: its path.
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "leaderboard": ({"score": "points_spent"}, "score"),
    "challenge": ({"steps": [{"at": 0, "points": 10}]}, "steps[0].at"),
    "game": ({"chances": {"count": 0, "window": "day"}}, "chances.count"),
    "quiz": ({"attempts": {"count": 0, "window": "day"}}, "attempts.count"),
    "draw": ({"winners": 0}, "winners"),
}
ADDED = [kind for kind in KINDS if kind.by_operators]
_numbers = count(1)

each_kind = pytest.mark.parametrize("kind", [kind.name for kind in ADDED])
PATHS = {kind.name: f"/v1/admin/{kind.plural.replace('_', '-')}" for kind in ADDED}


def document(kind: str, **changes: Any) -> dict[str, Any]:
    """A sound definition with an id of its own."""
    envelope = {"id": f"{kind}-{next(_numbers)}", "program": PROGRAM, "title": {"en": "One", "fr": "Une"}}
    return envelope | SOUND[kind] | changes


@pytest.fixture(scope="module")
async def second(installed: Settings) -> AsyncIterator[Calling]:
    """Another process."""
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened


@each_kind
async def test_a_definition_is_added_shown_and_listed(api: Calling, kind: str) -> None:
    added = document(kind)
    made = await api.operator.post(PATHS[kind], added)
    assert (made.status_code, made.json()) == (201, {"id": added["id"], "version": 1}), made.text
    shown = await api.operator.get(f"{PATHS[kind]}/{added['id']}")
    assert shown.status_code == 200
    assert shown.json()["document"]["title"] == added["title"]
    assert shown.headers["etag"] == made.headers["etag"]
    listed = (await api.operator.get(f"{PATHS[kind]}?program={PROGRAM}")).json()["items"]
    assert (added["id"], "operator", 1) in [(one["id"], one["source"], one["version"]) for one in listed]
    other = (await api.operator.get(f"{PATHS[kind]}?program={OTHER}")).json()["items"]
    assert added["id"] not in [one["id"] for one in other]


@each_kind
async def test_an_id_is_added_once(api: Calling, kind: str) -> None:
    added = document(kind)
    answers = await asyncio.gather(*(api.operator.post(PATHS[kind], added) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + 7 * [409]
    assert problem(answers[-1] if answers[-1].status_code == 409 else answers[0], 409, "exists")


@each_kind
async def test_a_definition_of_a_program_document_exists_and_is_changed_there(
    api: Calling, kind: str
) -> None:
    listed = (await api.operator.get(PATHS[kind])).json()["items"]
    own = [one for one in listed if one["source"] == "program"]
    for one in own:
        changed = document(kind, id=one["id"], program=one["program"])
        assert problem(await api.operator.post(PATHS[kind], changed), 409, "exists")
        path = f"{PATHS[kind]}/{one['id']}"
        refused = problem(await api.operator.put(path, changed, if_match='"1"'), 409, "of_a_document")
        assert refused["version"] == one["program_version"]


@each_kind
async def test_wrong_values_are_all_named_and_nothing_is_added(api: Calling, kind: str) -> None:
    changes, path = BROKEN[kind]
    broken = document(kind, **changes, title={}, extra=1)
    refused = problem(await api.operator.post(PATHS[kind], broken), 422, "invalid_document")
    assert {error["field"] for error in refused["errors"]} >= {path, "title", "extra"}
    assert all(error["message"] for error in refused["errors"])
    assert problem(await api.operator.get(f"{PATHS[kind]}/{broken['id']}"), 404, "not_found")
    assert problem(await api.operator.post(PATHS[kind], b"{"), 400, "invalid_request")
    elsewhere = document(kind, program="none")
    for answer in (
        await api.operator.post(PATHS[kind], elsewhere),
        await api.operator.put(f"{PATHS[kind]}/{elsewhere['id']}", elsewhere, if_match='"1"'),
    ):
        assert [error["field"] for error in problem(answer, 422, "invalid_document")["errors"]] == ["program"]
    nameless = {name: value for name, value in document(kind).items() if name != "program"}
    assert problem(await api.operator.post(PATHS[kind], nameless), 422, "invalid_document")


@each_kind
async def test_a_change_needs_the_version_that_was_read(api: Calling, kind: str) -> None:
    first = document(kind)
    made = await api.operator.post(PATHS[kind], first)
    path = f"{PATHS[kind]}/{first['id']}"
    second = first | {"title": {"en": "Two"}}
    assert problem(await api.operator.put(path, second), 428, "if_match_required")
    changed = await api.operator.put(path, second, if_match=made.headers["etag"])
    assert (changed.status_code, changed.json()["version"]) == (200, 2), changed.text
    third = first | {"title": {"en": "Three"}}
    stale = problem(
        await api.operator.put(path, third, if_match=made.headers["etag"]), 412, "changed_meanwhile"
    )
    assert stale["current_version"] == 2
    assert {"field": "title.en", "yours": "Three", "theirs": "Two"} in stale["difference"]
    assert {difference["field"].partition(".")[0] for difference in stale["difference"]} == {"title"}
    for tag in ("*", '"x"', 'W/"2"', '"99999999999999999999"'):
        assert problem(await api.operator.put(path, second, if_match=tag), 412, "changed_meanwhile")
    shown = await api.operator.get(path)
    assert shown.json()["document"]["title"] == {"en": "Two"}
    assert shown.headers["etag"] == changed.headers["etag"]


@each_kind
async def test_of_changes_at_once_one_wins(api: Calling, second: Calling, kind: str) -> None:
    first = document(kind)
    made = await api.operator.post(PATHS[kind], first)
    path, tag = f"{PATHS[kind]}/{first['id']}", made.headers["etag"]
    operators = [api.operator, second.operator] * 5
    answers = await asyncio.gather(*(each.put(path, first, if_match=tag) for each in operators))
    assert sorted(answer.status_code for answer in answers) == [200] + 9 * [412]


@each_kind
async def test_what_is_unknown_is_not_found(api: Calling, kind: str) -> None:
    unknown = document(kind)
    path = f"{PATHS[kind]}/{unknown['id']}"
    assert problem(await api.operator.get(path), 404, "not_found")
    assert problem(await api.operator.put(path, unknown, if_match='"1"'), 404, "not_found")
    misnamed = await api.operator.put(f"{PATHS[kind]}/another", unknown, if_match='"1"')
    assert problem(misnamed, 422, "invalid_document")


@each_kind
async def test_a_key_of_another_program_neither_sees_nor_adds(api: Calling, kind: str) -> None:
    key = await create_key(api.services.db, name="bound", scopes=["admin"], programs=[OTHER])
    bound = Caller(api.client, f"Bearer {key}")
    added = document(kind)
    assert problem(await bound.post(PATHS[kind], added), 403, "other_program")
    await api.operator.post(PATHS[kind], added)
    assert added["id"] not in [one["id"] for one in (await bound.get(PATHS[kind])).json()["items"]]
    assert problem(await bound.get(f"{PATHS[kind]}/{added['id']}"), 404, "not_found")
    assert problem(
        await bound.put(f"{PATHS[kind]}/{added['id']}", added, if_match='"1"'), 403, "other_program"
    )
    assert problem(await api.shop.post(PATHS[kind], added), 403, "forbidden")


async def test_another_process_knows_a_definition_within_two_seconds(api: Calling, second: Calling) -> None:
    kind = ADDED[0].name
    added = document(kind)
    await api.operator.post(PATHS[kind], added)
    assert DEFINITIONS_S <= 1.5, "a refresh takes time, too"
    async with asyncio.timeout(2.0):
        while (await second.operator.get(f"{PATHS[kind]}/{added['id']}")).status_code != 200:
            await asyncio.sleep(LOOK_AGAIN_S)
