"""Operators' operations on members and programs, over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from engage import programs
from engage.runtime import program_cache
from tests.api.calling import PROGRAM, Caller, Calling, fields, problem

MEMBERS, PROGRAMS = "/v1/admin/members", "/v1/admin/programs"


def correction(**changed: Any) -> dict[str, Any]:
    return {"points": 25, "reason": "a lost parcel", "reference": "T-1"} | changed


async def test_a_profile_hides_personal_data(api: Calling) -> None:
    member = await api.joined(
        phone="+34 600 11 22 33", birth_date="1990-01-01", person_ref="DNI 77", card_numbers=["A-1234"]
    )
    answer = await api.operator.get(f"{MEMBERS}/{member.member_id}")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "program": PROGRAM,
        "member_id": member.member_id,
        "state": "active",
        "merged_into": None,
        "merged": [],
        "country": "ES",
        "kind": "person",
        "joined_at": "2026-11-21T12:00:00Z",
        "phone": "•••••••••233",
        "phone_changed_at": None,
        "card_numbers": ["A1234"],
        "balance": {"active": 0, "pending": 50, "held": 0, "debt": 0, "seq": 1},
    }


async def test_the_program_is_needed_where_several_have_the_member_id(api: Calling) -> None:
    member = await api.joined()
    path = f"{MEMBERS}/{member.member_id}"
    other = {"member_id": member.member_id, "program": "by-mi-bonus", "country": "BY"}
    assert (await api.shop.post("/v1/shop/members", other)).status_code == 201
    for answer in (
        await api.operator.get(path),
        await api.operator.post(f"{path}/adjustments", correction()),
        await api.operator.delete(path),
    ):
        assert fields(problem(answer, 400, "invalid_request")) == ["program"]
    shown = await api.operator.get(f"{path}?program=by-mi-bonus")
    assert shown.json()["country"] == "BY"
    problem(await api.operator.get(f"{path}?program=in-mi-tokens"), 404, "unknown_member")
    problem(await api.operator.get(f"{path}?colour=red"), 400, "invalid_request")
    given = await api.operator.post(f"{path}/adjustments?program=by-mi-bonus", correction())
    assert given.json()["balance"]["active"] == 25


async def test_points_are_given_and_taken_once(api: Calling) -> None:
    member = await api.joined()
    path = f"{MEMBERS}/{member.member_id}/adjustments"
    given = await api.operator.post(path, correction())
    assert given.status_code == 201, given.text
    entry = given.json()["entry"]
    assert (entry["kind"], entry["points"], entry["balance_after"]) == ("adjustment", 25, 25)
    assert (await api.operator.post(path, correction())).json() == given.json()
    problem(await api.operator.post(path, correction(points=26)), 409, "reference_used")
    taken = await api.operator.post(path, correction(points=-10, reference="T-2"))
    assert taken.json()["balance"]["active"] == 15
    refused = problem(
        await api.operator.post(path, correction(points=-16, reference="T-3")), 409, "insufficient_points"
    )
    assert (refused["active"], refused["points"]) == (15, 16)
    shown = (await member.get("/v1/me/entries")).json()["items"]
    assert [(entry["kind"], entry["points"]) for entry in shown] == [("adjustment", -10), ("adjustment", 25)]


async def test_an_operators_request_is_processed_once_under_its_key(api: Calling) -> None:
    member = await api.joined()
    path = f"{MEMBERS}/{member.member_id}/adjustments"
    first = await api.operator.post(path, correction(), idempotency_key="k-adjust")
    again = await api.operator.post(path, correction(), idempotency_key="k-adjust")
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    # The key belongs to the query too.
    other = await api.operator.post(f"{path}?program={PROGRAM}", correction(), idempotency_key="k-adjust")
    problem(other, 422, "idempotency_key_reused")
    # A DELETE is the same however often it comes, and takes nobody else's answer.
    for _ in range(2):
        erased = await api.operator.delete(path.removesuffix("/adjustments"), idempotency_key="k-adjust")
        assert erased.status_code == 200
        assert "idempotency-replayed" not in erased.headers


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"points": 0}, "points"),
        ({"points": "5"}, "points"),
        ({"points": 10**10}, "points"),
        ({"reason": ""}, "reason"),
        ({"reason": "two\nlines"}, "reason"),
        ({"reference": "a\x00"}, "reference"),
        ({"note": "x"}, "note"),
    ],
)
async def test_an_invalid_adjustment_is_refused_with_the_field(
    api: Calling, changed: dict[str, Any], where: str
) -> None:
    member = await api.joined()
    answer = await api.operator.post(f"{MEMBERS}/{member.member_id}/adjustments", correction(**changed))
    assert fields(problem(answer, 400, "invalid_request")) == [where]


async def test_a_member_is_merged_and_shown_as_merged(api: Calling) -> None:
    old, new = await api.joined(), await api.joined()
    path = f"{MEMBERS}/{old.member_id}/merge"
    body = {"into": new.member_id, "reason": "one person"}
    merged = await api.operator.post(path, body)
    assert merged.status_code == 200, merged.text
    assert (await api.operator.post(path, body)).json() == merged.json()
    shown = (await api.operator.get(f"{MEMBERS}/{old.member_id}")).json()
    assert (shown["state"], shown["merged_into"]) == ("merged", new.member_id)
    assert (await api.operator.get(f"{MEMBERS}/{new.member_id}")).json()["merged"] == [old.member_id]


async def test_an_erased_member_has_no_access(api: Calling) -> None:
    member = await api.joined(phone="+34 600 99 88 77", card_numbers=["GONE-1"])
    assert (await member.post("/v1/fuel/taps")).status_code == 202
    path = f"{MEMBERS}/{member.member_id}"
    erased = await api.operator.delete(path)
    assert (erased.status_code, erased.json()) == (200, {"program": PROGRAM, "member_id": member.member_id})
    assert (await api.operator.delete(path)).status_code == 200
    for answer in (
        await member.get("/v1/me"),
        await member.get("/v1/me/credits"),
        await member.post("/v1/fuel/taps"),
        await member.post("/v1/feed/tickets"),
    ):
        problem(answer, 401, "unauthorized")
    problem(await api.operator.get(path), 410, "member_erased")
    problem(await api.operator.post(f"{path}/adjustments", correction()), 404, "unknown_member")
    problem(await api.operator.post(f"{path}/merge", {"into": "x", "reason": "r"}), 404, "unknown_member")
    joining = {"member_id": member.member_id, "program": PROGRAM, "country": "ES", "person_ref": "p"}
    problem(await api.shop.post("/v1/shop/members", joining), 410, "member_erased")
    sent = await api.shop.post("/v1/shop/events", api.event("app.signed_in", member))
    assert [refused["code"] for refused in sent.json()["refused"]] == ["unknown_member"]
    changed = {"program": PROGRAM, "phone": "+34 600 99 88 77"}
    problem(await api.shop.patch(f"/v1/shop/members/{member.member_id}", changed), 404, "unknown_member")
    # The card and the number are anybody's.
    await api.joined(phone="+34 600 99 88 77", card_numbers=["GONE-1"])


async def test_programs_and_their_versions_are_listed(api: Calling) -> None:
    listed = (await api.operator.get(PROGRAMS)).json()
    assert [program["id"] for program in listed["items"]] == sorted(
        {name.partition("/")[0] for name in programs.names()} | {programs.DEMO_STORE}
    )
    assert listed["next_cursor"] is None
    found = (await api.operator.get(f"{PROGRAMS}/{PROGRAM}/versions")).json()["items"]
    assert [(version["version"], version["in_force_from"]) for version in found] == [
        ("2020", "2020-05-04"),
        ("2022", "2022-09-01"),
        ("2025", "2025-06-17"),
    ]
    document = (await api.operator.get(f"{PROGRAMS}/{PROGRAM}/versions/2022")).json()["document"]
    assert document == programs.text(f"{PROGRAM}/2022")
    problem(await api.operator.get(f"{PROGRAMS}/xx-points/versions"), 404, "unknown_program")
    problem(await api.operator.get(f"{PROGRAMS}/{PROGRAM}/versions/1999"), 404, "not_found")


async def publish(api: Calling, document: str, program: str = PROGRAM) -> Any:
    return await api.operator.post(f"{PROGRAMS}/{program}/versions", {"document": document})


async def test_a_published_version_is_in_force(api: Calling) -> None:
    text = programs.text(f"{PROGRAM}/2022").partition("[[examples]]")[0]
    next_year = text.replace('version = "2022"', 'version = "2027"').replace("2022-09-01", "2027-01-01")
    published = await publish(api, next_year)
    assert published.status_code == 201, published.text
    assert (published.json()["version"], published.json()["in_force_from"]) == ("2027", "2027-01-01")
    assert (await publish(api, next_year)).status_code == 200
    problem(await publish(api, next_year + "\n# changed"), 409, "version_exists")
    program, _ = api.services.programs.in_force(
        PROGRAM, at=api.services.clock.now() + timedelta(days=60), country="ES"
    )
    assert program.version == "2027"


async def test_outside_a_sandbox_a_version_cannot_begin_in_the_past_of_members(
    api: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.joined()
    monkeypatch.setattr(api.api, "sandbox", None)
    text = programs.text(f"{PROGRAM}/2022").partition("[[examples]]")[0]
    earlier = text.replace('version = "2022"', 'version = "2023"').replace("2022-09-01", "2023-01-01")
    refused = problem(await publish(api, earlier), 409, "in_the_past")
    assert (refused["in_force_from"], refused["earliest"]) == ("2023-01-01", "2026-11-22")
    assert "2026-11-22" in refused["detail"]
    assert (await publish(api, earlier.replace("2023-01-01", "2026-11-22"))).status_code == 201


async def test_an_invalid_document_is_refused_with_all_its_problems(api: Calling) -> None:
    text = programs.text(f"{PROGRAM}/2022")
    later = text.replace('version = "2022"', 'version = "2022b"').replace("2022-09-01", "2022-09-02")
    broken = problem(await publish(api, "points = \n"), 422, "invalid_document")
    assert broken["errors"]
    other = problem(await publish(api, later, "by-mi-bonus"), 422, "invalid_document")
    assert other["errors"] == [{"field": "id", "message": 'expected "by-mi-bonus", got "eu-mi-points"'}]
    conflict = problem(
        await publish(api, later.replace("2022-09-02", "2022-09-01")), 409, "versions_conflict"
    )
    assert conflict["problems"]
    dearer = later.replace('award = { type = "fixed", points = 2 }', 'award = { type = "fixed", points = 3 }')
    unproved = problem(await publish(api, dearer), 422, "document_unproved")
    assert unproved["problems"]
    nothing = await api.operator.post(f"{PROGRAMS}/{PROGRAM}/versions", {"document": ""})
    assert fields(problem(nothing, 400, "invalid_request")) == ["document"]


@pytest.mark.parametrize("path", [f"{MEMBERS}/m-1", PROGRAMS, f"{PROGRAMS}/{PROGRAM}/versions"])
async def test_only_operators_may_call_their_operations(api: Calling, path: str) -> None:
    problem(await api.nobody.get(path), 401, "unauthorized")
    problem(await Caller(api.client, "Bearer ek_1_2").get(path), 401, "unauthorized")
    refused = problem(await api.shop.get(path), 403, "forbidden")
    assert refused["scope"] == "admin"
    member = await api.joined()
    problem(await member.get(path), 401, "unauthorized")


@pytest.mark.parametrize("name", ["%00", "a%20b", "%7Btag%7D", "x" * 65, "%F0%9F%98%80"])
async def test_an_impossible_member_id_is_unknown(api: Calling, name: str) -> None:
    path, shop = f"{MEMBERS}/{name}", f"/v1/shop/members/{name}"
    merging = {"into": "m", "reason": "r"}
    for answer in (
        await api.operator.get(path),
        await api.operator.get(f"{path}?program=%00"),
        await api.operator.post(f"{path}/adjustments", correction()),
        await api.operator.post(f"{path}/merge", merging),
        await api.operator.delete(path),
        await api.shop.patch(shop, {"program": PROGRAM}),
        await api.shop.post(f"{shop}/merge", merging | {"program": PROGRAM}),
    ):
        problem(answer, 404, "unknown_member")
    problem(await api.operator.get(f"{PROGRAMS}/{name}/versions"), 404, "unknown_program")
    problem(await api.operator.get(f"{PROGRAMS}/{PROGRAM}/versions/{name}"), 404, "not_found")


async def test_an_api_that_was_suspended_answers_when_it_has_read_the_versions_again(
    api: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await api.joined()
    with monkeypatch.context() as suspended:
        suspended.setattr(program_cache, "KNOWN_FOR", timedelta(seconds=-1))
        refused = problem(await member.post("/v1/fuel/taps"), 503, "unavailable")
        assert refused["part"] == "postgres"
    assert (await member.post("/v1/fuel/taps")).status_code == 202
