"""Operators replace the lists of segments, and see segments with their counts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import count
from typing import Any

import pytest

from engage.api.http import bodies
from engage.api.segments import admin
from engage.flows.operations.keys import create_key
from tests.api.calling import PROGRAM, Caller, Calling, fields, problem
from tests.support.database import rows

OTHER = "by-mi-bonus"
THIRD = "in-mi-tokens"
CSV = "text/csv; charset=utf-8"
_numbers = count(1)


def path(segment_id: str, program: str = PROGRAM) -> str:
    return f"/v1/admin/segments/{segment_id}?program={program}"


def new_id() -> str:
    return f"segment-{next(_numbers)}"


async def put(api: Calling, segment_id: str, body: bytes | AsyncIterator[bytes]) -> dict[str, Any]:
    answer = await api.operator.put(path(segment_id), body, content_type=CSV)
    assert answer.status_code == 200, answer.text
    replaced: dict[str, Any] = answer.json()
    return replaced


async def test_a_list_is_replaced_counted_and_shown(api: Calling) -> None:
    segment_id = new_id()
    a, b, c = [(await api.joined()).member_id for _ in range(3)]
    first = await put(api, segment_id, f"member_id\n{a}\n{b}\n{a}\n".encode())
    counts = {"members": 2, "added": 2, "removed": 0, "repeated": 1, "unknown": 0, "bad": 0}
    assert {name: first[name] for name in counts} == counts
    assert (first["id"], first["program"], first["version"]) == (segment_id, PROGRAM, 1)

    second = await put(api, segment_id, f"{b}\n{c}\nnobody-1\nno id\n".encode())
    counts = {"members": 2, "added": 1, "removed": 1, "repeated": 0, "unknown": 1, "bad": 1}
    assert {name: second[name] for name in counts} == counts
    assert second["unknown_ids"] == [{"line": 3, "member_id": "nobody-1"}]
    ((line, message),) = [tuple(bad.values()) for bad in second["bad_lines"]]
    assert (line, message.rpartition(", ")[2]) == (4, 'got "no id"')
    assert (second["unknown_not_shown"], second["bad_not_shown"]) == (0, 0)
    assert datetime.fromisoformat(second["since"]) > api.services.clock.now()

    shown = (await api.operator.get(path(segment_id))).json()
    assert (shown["kind"], shown["members"], shown["version"]) == ("list", 2, 2)
    assert (shown["title"], shown["computed"]) == (None, None)
    assert shown["since"] == second["since"]
    assert shown["operator"]


async def test_changes_are_in_the_audit_log_without_members(api: Calling) -> None:
    segment_id = new_id()
    a, b = [(await api.joined()).member_id for _ in range(2)]
    versions = [
        await put(api, segment_id, f"{a}\n".encode()),
        await put(api, segment_id, f"{a}\n".encode()),
        await put(api, segment_id, f"{a}\n{b}\n".encode()),
    ]
    first, again, second = [{"version": each["version"], "since": each["since"]} for each in versions]
    assert again == first
    log = (await api.operator.get(f"/v1/admin/audit-log?subject=segment:{segment_id}")).json()["items"]
    untitled = {"title": None, "computed": None}
    before = {**first, **untitled, "members": 1}
    assert [(entry["action"], entry["before"], entry["after"]) for entry in log] == [
        ("changed", before, {**second, **untitled, "members": 2, "added": 1, "removed": 0}),
        ("added", None, {**before, "added": 1, "removed": 0}),
    ]
    assert {entry["program"] for entry in log} == {PROGRAM}


async def test_a_segment_is_defined_by_conditions(api: Calling) -> None:
    segment_id = new_id()
    conditions = {"countries": ["ES", "IT"], "no_order_for": "P90D", "percent": 50}
    document = {"title": {"en": "Sleepers"}, "computed": conditions}
    made = await api.operator.put(path(segment_id), document)
    assert made.status_code == 200, made.text
    assert {name: made.json()[name] for name in ("kind", "version", "members", "added", "unknown_ids")} == {
        "kind": "computed",
        "version": 1,
        "members": None,
        "added": 0,
        "unknown_ids": [],
    }
    again = await api.operator.put(path(segment_id), document)
    assert again.json() == made.json()
    shown = (await api.operator.get(path(segment_id))).json()
    assert (shown["kind"], shown["members"]) == ("computed", None)
    assert (shown["title"], shown["computed"]) == (document["title"], conditions)
    log = (await api.operator.get(f"/v1/admin/audit-log?subject=segment:{segment_id}")).json()["items"]
    assert [(entry["action"], entry["after"]["computed"]) for entry in log] == [("added", conditions)]


async def test_a_list_becomes_computed_and_a_list_again(api: Calling) -> None:
    segment_id = new_id()
    member = (await api.joined()).member_id
    await put(api, segment_id, f"{member}\n".encode())
    titled = (await api.operator.put(path(segment_id), {"title": {"en": "Loyal"}})).json()
    assert (titled["kind"], titled["version"], titled["members"]) == ("list", 2, 1)
    computed = (await api.operator.put(path(segment_id), {"computed": {"percent": 50}})).json()
    assert (computed["kind"], computed["version"]) == ("computed", 3)
    ended = "SELECT until FROM segment_members WHERE segment_id = :id"
    ((until,),) = await rows(api.services.db, ended, id=segment_id)
    assert until == datetime.fromisoformat(computed["since"])
    listed = await put(api, segment_id, f"{member}\n".encode())
    assert (listed["kind"], listed["version"], listed["members"], listed["added"]) == ("list", 4, 1, 1)
    times = [titled["since"], computed["since"], listed["since"]]
    assert times == sorted(set(times))


async def test_a_title_stays_with_another_list(api: Calling) -> None:
    segment_id = new_id()
    await put(api, segment_id, b"member_id\n")
    await api.operator.put(path(segment_id), {"title": {"en": "Loyal"}})
    member = (await api.joined()).member_id
    await put(api, segment_id, f"{member}\n".encode())
    shown = (await api.operator.get(path(segment_id))).json()
    assert (shown["title"], shown["members"], shown["version"]) == ({"en": "Loyal"}, 1, 3)


@pytest.mark.parametrize(
    ("document", "mistakes"),
    [
        ({"computed": {}}, ["computed"]),
        ({"title": {"en": "Nobody"}}, ["computed"]),
        ({"computed": {"segments": ["a"]}}, ["computed.segments"]),
        (
            {"computed": {"countries": ["US", "ES"], "tiers": ["x"]}},
            ["computed.countries[0]", "computed.tiers[0]"],
        ),
        ({"computed": {"percent": 0, "colour": "red"}}, ["computed.percent", "computed.colour"]),
        ({"computed": {"no_order_for": "P0D"}}, ["computed.no_order_for"]),
        ({"computed": {"no_order_for": "P9D", "first_order": True}}, ["computed.no_order_for"]),
        ([], ["$"]),
    ],
)
async def test_every_mistake_of_conditions_is_found(
    api: Calling, document: object, mistakes: list[str]
) -> None:
    segment_id = new_id()
    refused = await api.operator.put(path(segment_id), document)
    assert fields(problem(refused, 422, "invalid_document")) == mistakes
    problem(await api.operator.get(path(segment_id)), 404, "not_found")


async def test_what_is_no_json_is_an_invalid_request(api: Calling) -> None:
    sent = await api.operator.put(path(new_id()), b"{", content_type="application/json")
    assert fields(problem(sent, 400, "invalid_request")) == ["$"]
    sent = await api.operator.put(path(new_id()), b" " * 100_000, content_type="application/json")
    problem(sent, 413, "body_too_large")


async def test_segments_are_listed_page_by_page(api: Calling) -> None:
    ids = sorted([new_id() for _ in range(5)])
    for segment_id in ids:
        await put(api, segment_id, b"member_id\n")
    problem(
        await api.operator.put(path("elsewhere", "nowhere"), b"a\n", content_type=CSV), 404, "unknown_program"
    )
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await api.operator.get(f"/v1/admin/segments?program={PROGRAM}&limit=2&cursor={cursor}")
        ).json()
        assert len(page["items"]) == 2 or page["next_cursor"] is None
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert found == sorted(set(found))
    assert set(ids) <= set(found)
    other = (await api.operator.get(f"/v1/admin/segments?program={OTHER}")).json()
    assert other == {"items": [], "next_cursor": None}


async def test_a_list_comes_in_parts(api: Calling) -> None:
    member = (await api.joined()).member_id

    async def parts() -> AsyncIterator[bytes]:
        for part in (b"\xef\xbb", b"\xbfmember_id\r", b"\n", member.encode()[:1], member.encode()[1:]):
            yield part

    assert (await put(api, new_id(), parts()))["members"] == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty; a file without rows has a line member_id"),
        (b"PK\x03\x04", "a spreadsheet: save it as CSV in UTF-8"),
        ("m-1\n".encode("utf-16"), "not text in UTF-8: save it as CSV in UTF-8"),
    ],
)
async def test_what_is_no_list_is_refused(api: Calling, body: bytes, message: str) -> None:
    refused = await api.operator.put(path(new_id()), body, content_type=CSV)
    assert problem(refused, 400, "invalid_request")["errors"] == [{"field": "$", "message": message}]


async def test_limits_of_a_list_are_said(api: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    segment_id = new_id()
    member = (await api.joined()).member_id
    await put(api, segment_id, f"{member}\n".encode())
    monkeypatch.setattr(admin, "IDS_PER_REQUEST", 3)
    monkeypatch.setattr(admin, "LIST_BYTES", 5_000)
    refused = await api.operator.put(path(segment_id), b"a\nb\nc\nd\n", content_type=CSV)
    assert problem(refused, 400, "invalid_request")["errors"] == [
        {"field": "$", "message": "more than 3 ids"}
    ]
    refused = await api.operator.put(path(segment_id), b"a" * 5_001, content_type=CSV)
    assert problem(refused, 413, "body_too_large")["limit_bytes"] == 5_000

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b"\n" * 1_000

    refused = await api.operator.put(path(segment_id), unannounced(), content_type=CSV)
    problem(refused, 413, "body_too_large")

    async def paused() -> AsyncIterator[bytes]:
        yield b"m-1\n"
        await asyncio.Event().wait()

    for limit in ("LARGE_BODY_S", "PAUSE_S"):
        with monkeypatch.context() as patched:
            patched.setattr(bodies, limit, 0.01)
            refused = await api.operator.put(path(segment_id), paused(), content_type=CSV)
            problem(refused, 408, "request_timeout")
    assert (await api.operator.get(path(segment_id))).json()["members"] == 1, "nothing has changed"


async def test_wrong_calls_are_refused_at_their_field(api: Calling) -> None:
    text = b"member_id\n"
    segments = "/v1/admin/segments"
    for field, target, sent in (
        ("Content-Type", path("s"), "application/x-www-form-urlencoded"),
        ("Content-Type", path("s"), ""),
        ("segment_id", path("two%20words"), CSV),
        ("segment_id", path("s" * 49), CSV),
        ("program", f"{segments}/s", CSV),
        ("colour", f"{path('s')}&colour=red", CSV),
    ):
        refused = await api.operator.put(target, text, content_type=sent)
        assert fields(problem(refused, 400, "invalid_request")) == [field]
    for target in (f"{segments}?cursor=%21", f"{segments}?cursor=AAAA", f"{segments}?limit=0"):
        problem(await api.operator.get(target), 400, "invalid_request")
    problem(await api.operator.get(path("none")), 404, "not_found")
    problem(await api.operator.get(path("%00")), 404, "not_found")
    assert await rows(api.services.db, "SELECT * FROM segments WHERE segment_id = 's'") == []


async def test_a_program_is_named_only_where_it_is_not_certain(api: Calling) -> None:
    segment_id = new_id()
    unnamed = f"/v1/admin/segments/{segment_id}"
    refused = await api.operator.put(unnamed, b"member_id\n", content_type=CSV)
    assert fields(problem(refused, 400, "invalid_request")) == ["program"]
    key = await create_key(api.services.db, name="bound", scopes=["admin"], programs=[THIRD])
    bound = Caller(api.client, f"Bearer {key}")
    assert (await bound.put(unnamed, b"member_id\n", content_type=CSV)).json()["program"] == THIRD
    conditions = {"computed": {"percent": 10}}
    changed = await api.operator.put(unnamed, conditions)
    assert (changed.status_code, changed.json()["program"], changed.json()["version"]) == (200, THIRD, 2)
    assert (await api.operator.get(unnamed)).json()["program"] == THIRD
    await put(api, segment_id, b"member_id\n")
    for answer in (await api.operator.put(unnamed, conditions), await api.operator.get(unnamed)):
        assert fields(problem(answer, 400, "invalid_request")) == ["program"]
    assert (await bound.get(unnamed)).json()["version"] == 2


async def test_segments_are_for_operators_of_their_program(api: Calling) -> None:
    segment_id = new_id()
    await put(api, segment_id, b"member_id\n")
    problem(await api.nobody.put(path("s"), b"", content_type=CSV), 401, "unauthorized")
    problem(await api.shop.put(path("s"), b"", content_type=CSV), 403, "forbidden")
    problem(await api.shop.get("/v1/admin/segments"), 403, "forbidden")
    key = await create_key(api.services.db, name="bound", scopes=["admin"], programs=[OTHER])
    bound = Caller(api.client, f"Bearer {key}")
    problem(await bound.put(path("s"), b"", content_type=CSV), 403, "other_program")
    problem(await bound.get(path(segment_id)), 403, "other_program")
    problem(await bound.get(f"/v1/admin/segments/{segment_id}"), 404, "not_found")
    assert (await bound.get("/v1/admin/segments")).json()["items"] == []
