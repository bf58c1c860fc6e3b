"""Registering members and sending events, over HTTP."""

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engage.api.activities.shop import CONTAINERS, EVENTS_BYTES
from engage.flows.operations.keys import create_key, revoke_key
from engage.store.api_keys import split
from tests.api.calling import PROGRAM, Caller, Calling, fields, problem
from tests.support.processor import processor_seconds

# The body alone takes a moment on a loaded machine. Without a bound it was eight seconds.
BOUND_S = 2.0

MEMBERS, EVENTS = "/v1/shop/members", "/v1/shop/events"


def joining(**changed: Any) -> dict[str, Any]:
    return {"member_id": "m-wrong", "program": PROGRAM, "country": "ES", "person_ref": "nobody"} | changed


async def send(api: Calling, events: Any) -> dict[str, Any]:
    answer = await api.shop.post(EVENTS, events)
    assert answer.status_code == 200, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def counts(taken: dict[str, Any]) -> tuple[int, int, list[str]]:
    return taken["accepted"], taken["repeated"], [refused["code"] for refused in taken["refused"]]


async def test_a_registered_member_has_pending_points(api: Calling) -> None:
    answer = await api.shop.post(
        MEMBERS,
        joining(
            member_id="ana@shop",
            birth_date="1990-02-28",
            person_ref="DNI 1",
            phone="+34 600 00 00 00",
            card_numbers=["4929001"],
            referral_code="FRIEND",
        ),
    )
    assert answer.status_code == 201
    joined = answer.json()
    assert (joined["member_id"], joined["program"], joined["country"]) == ("ana@shop", PROGRAM, "ES")
    assert [(c["rule"], c["points"], c["state"]) for c in joined["credits"]] == [
        ("registration", 50, "pending")
    ]


async def test_a_member_is_registered_once(api: Calling) -> None:
    await api.joined(member_id="twice-1", person_ref="DNI 2", card_numbers=["5000001"])
    known = joining(member_id="twice-1")
    problem(await api.shop.post(MEMBERS, known), 409, "member_exists")
    person = joining(member_id="twice-2", person_ref="DNI 2")
    problem(await api.shop.post(MEMBERS, person), 409, "person_has_account")
    card = joining(member_id="twice-3", person_ref="DNI 3", card_numbers=["5000001", "5000002"])
    refused = problem(await api.shop.post(MEMBERS, card), 409, "card_taken")
    assert refused["card_numbers"] == ["5000001"]
    assert await api.credits(api.member_of(PROGRAM, "twice-3")) == []


@pytest.mark.parametrize(
    ("changed", "reasons"),
    [
        ({"birth_date": "2010-01-01"}, ["under_age"]),
        ({"country": "US"}, ["country"]),
        ({"kind": "company"}, ["company"]),
        ({"kind": "company", "country": "US"}, ["country", "company"]),
    ],
)
async def test_a_member_who_is_not_eligible_is_refused_with_reasons(
    api: Calling, changed: dict[str, Any], reasons: list[str]
) -> None:
    refused = problem(await api.shop.post(MEMBERS, joining(**changed)), 422, "not_eligible")
    assert refused["reasons"] == reasons


async def test_an_unknown_program_is_not_found(api: Calling) -> None:
    refused = problem(await api.shop.post(MEMBERS, joining(program="xx-points")), 404, "unknown_program")
    assert refused["program"] == "xx-points"


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"member_id": "a b"}, "member_id"),
        ({"member_id": "{tag}"}, "member_id"),
        ({"member_id": 5}, "member_id"),
        ({"country": "Spain"}, "country"),
        ({"program": "EU"}, "program"),
        ({"birth_date": "1990-02-30"}, "birth_date"),
        ({"kind": "robot"}, "kind"),
        ({"phone": "+34600\n"}, "phone"),
        ({"card_numbers": ["4929001", 7]}, "card_numbers[1]"),
        ({"card_numbers": [str(n) for n in range(1000, 1017)]}, "card_numbers"),
        ({"referral_code": "a\x00"}, "referral_code"),
        ({"nickname": "Ana"}, "nickname"),
    ],
)
async def test_an_invalid_registration_is_refused_with_the_field(
    api: Calling, changed: dict[str, Any], where: str
) -> None:
    refused = problem(await api.shop.post(MEMBERS, joining(**changed)), 400, "invalid_request")
    assert fields(refused) == [where]


@pytest.mark.parametrize("wrong", ["9999-12-31", "1899-12-31"])
async def test_an_impossible_birth_date_is_refused(api: Calling, wrong: str) -> None:
    problem(await api.shop.post(MEMBERS, joining(birth_date=wrong)), 422, "invalid_birth_date")


async def test_a_registration_without_the_person_is_refused(api: Calling) -> None:
    problem(await api.shop.post(MEMBERS, joining(person_ref=None)), 422, "person_ref_required")


@pytest.mark.parametrize("wrong", ["call me", "600 CALL ME", "12", "\u200b"])
async def test_a_text_that_is_no_phone_number_is_refused(api: Calling, wrong: str) -> None:
    problem(await api.shop.post(MEMBERS, joining(phone=wrong)), 422, "invalid_phone")


async def test_a_first_sign_in_pays_and_the_repeated_event_does_nothing(api: Calling) -> None:
    member = await api.joined()
    event = api.event("app.signed_in", member)
    assert counts(await send(api, event)) == (1, 0, [])
    assert counts(await send(api, [event])) == (0, 1, [])
    assert counts(await send(api, api.event("app.signed_in", member))) == (1, 0, [])
    assert await api.credits(member) == [("app_sign_in", "pending"), ("registration", "pending")]


async def test_a_removed_share_takes_its_points_back(api: Calling) -> None:
    member = await api.joined()
    await member.post("/v1/shares", {"kind": "link", "product_id": "band", "share_id": "s-7"})
    assert counts(await send(api, api.event("share.removed", member, share_id="s-7"))) == (1, 0, [])
    states = dict(await api.credits(member))
    assert states["share_link:2026-11:1"] == "reversed"


async def test_an_event_can_name_a_card(api: Calling) -> None:
    member = await api.joined(card_numbers=["7000001"])
    event = api.event("app.signed_in", member) | {"member_id": None, "card_number": "7000001"}
    assert counts(await send(api, event)) == (1, 0, [])
    unknown = event | {"id": "e-card", "card_number": "7000009"}
    assert counts(await send(api, unknown)) == (0, 0, ["unknown_member"])


async def test_an_invalid_event_does_not_affect_the_others(api: Calling) -> None:
    member = await api.joined()
    good = api.event("app.signed_in", member)
    future = (api.services.clock.now() + timedelta(hours=1)).isoformat()
    wrong: list[tuple[Any, str, str | None]] = [
        (good | {"id": "w-1", "type": "app.closed"}, "unknown_type", "w-1"),
        (good | {"id": "w-2", "time": "yesterday"}, "invalid_event", "w-2"),
        (good | {"id": "w-3", "time": "2026-11-21T10:00:00"}, "invalid_event", "w-3"),
        (good | {"id": "w-4", "time": "0001-01-01T00:00:00+14:00"}, "invalid_event", "w-4"),
        (good | {"id": "w-5", "color": "red"}, "invalid_event", "w-5"),
        (good | {"id": "w-6", "type": "review.removed"}, "invalid_event", "w-6"),
        (good | {"id": "w-7", "member_id": "a\x00b"}, "invalid_event", "w-7"),
        (good | {"id": "w-8", "card_number": "7\x000000"}, "invalid_event", "w-8"),
        (good | {"id": ["w-9"]}, "invalid_event", None),
        ({name: value for name, value in good.items() if name != "id"}, "invalid_event", None),
        ("an event", "invalid_event", None),
        (None, "invalid_event", None),
        (good | {"id": "w-10", "member_id": "nobody"}, "unknown_member", "w-10"),
        (good | {"id": "w-11", "member_id": None}, "member_missing", "w-11"),
        (good | {"id": "w-12", "program": "xx-points"}, "unknown_program", "w-12"),
        (good | {"id": "w-13", "time": future}, "time_in_future", "w-13"),
    ]
    taken = await send(api, [event for event, _, _ in wrong] + [good])
    assert (taken["accepted"], taken["repeated"]) == (1, 0)
    assert [(refused["code"], refused["id"]) for refused in taken["refused"]] == [
        (code, id_) for _, code, id_ in wrong
    ]
    assert all(refused["detail"] for refused in taken["refused"])
    assert [error["field"] for refused in taken["refused"][1:3] for error in refused["errors"]] == [
        "time",
        "time",
    ]
    assert ("app_sign_in", "pending") in await api.credits(member)


BROKEN = {
    "half an emoji": rb'"\ud83d"',
    "another half": rb'"\udc00 "',
    "no UTF-8": b'"\xff"',
    "an escape that is none": rb'"\x"',
    "a control character": b'"a\nb"',
    "no value": b"",
    "no JSON": b"NaN",
    "a number with a zero": b"01",
    "a number of 5,000 digits": b"1" * 5_000,
    "100,000 brackets": b"[" * 100_000 + b"]" * 100_000,
    "brackets and commas in text": rb'"],[{\"},{"',
}


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
async def test_an_event_with_broken_text_is_refused_alone(api: Calling, value: bytes) -> None:
    member = await api.joined()
    events = [msgspec.json.encode(api.event("app.signed_in", member)) for _ in range(2)]
    broken = b'{"type": "review.removed", "data": {"review_id": %s}, "id": "broken"}' % value
    taken = await send(api, b"[%s, %s, %s]" % (events[0], broken, events[1]))
    assert counts(taken) == (2, 0, ["invalid_event"])
    assert [(refused["index"], refused["id"]) for refused in taken["refused"]] == [(1, "broken")]
    assert counts(await send(api, broken)) == (0, 0, ["invalid_event"]), "alone"


@pytest.mark.parametrize("part", [b"[],", b"{},", b'[""],', b'["\\ud83d"],', b"[{}],"])
@pytest.mark.parametrize("around", [b'[{"id": "1", "x": [%s]}]', b'{"id": "1", "x": [%s]}', b'[{"x": [%s'])
async def test_a_body_of_very_many_parts_is_refused_in_bounded_time(
    api: Calling, around: bytes, part: bytes
) -> None:
    body = around % (part * (EVENTS_BYTES // len(part) - 10)).rstrip(b",")
    with processor_seconds(BOUND_S):
        refused = problem(await api.shop.post(EVENTS, body), 400, "invalid_request")
    assert refused["errors"] == [{"field": "$", "message": f"more than {CONTAINERS} lists and objects"}]


async def test_brackets_in_text_are_no_parts(api: Calling) -> None:
    member = await api.joined()
    event = msgspec.json.encode(api.event("app.signed_in", member))
    odd = b'{"id": "odd", "x": "%s"}' % (b"[{" * CONTAINERS)
    assert counts(await send(api, b"[%s, %s]" % (odd, event))) == (1, 0, ["invalid_event"])


@pytest.mark.parametrize("id_", [rb'"\ud83d"', b'"a\nb"', b"5", b"null", b'"%s"' % (b"x" * 129)])
async def test_an_id_that_is_none_is_not_sent_back(api: Calling, id_: bytes) -> None:
    taken = await send(api, b'[{}, {"id": %s, "type": "%s"}]' % (id_, b"t" * 200))
    assert [(refused["index"], refused["id"]) for refused in taken["refused"]] == [(0, None), (1, None)]


async def test_an_event_put_right_in_the_same_call_is_new(api: Calling) -> None:
    member = await api.joined()
    sound = api.event("app.signed_in", member)
    wrong = [
        sound | {"type": "app.closed"},
        sound | {"member_id": "nobody"},
        sound | {"data": {"device": "phone"}},
        sound | {"time": "2019-01-01T00:00:00Z"},
    ]
    taken = await send(api, [*wrong, sound, sound])
    assert counts(taken) == (
        1,
        1,
        ["unknown_type", "unknown_member", "invalid_event", "not_offered"],
    )
    assert [refused["index"] for refused in taken["refused"]] == [0, 1, 2, 3]
    # What comes after the accepted event is compared with it.
    assert counts(await send(api, [sound, sound | {"member_id": "nobody"}])) == (0, 1, ["id_reused"])


async def test_another_event_under_a_known_id_is_refused(api: Calling) -> None:
    member = await api.joined(card_numbers=["8000001"])
    event = api.event("review.removed", member, review_id="r-1")
    at = datetime.fromisoformat(event["time"])
    others = [
        event | {"data": {"review_id": "r-2"}},
        event | {"time": (at + timedelta(seconds=1)).isoformat()},
        event | {"member_id": None, "card_number": "8000001"},
        event | {"type": "app.signed_in", "data": {}},
    ]
    taken = await send(api, [event, *others])
    assert counts(taken) == (1, 0, ["id_reused"] * 4)
    same = [
        dict(reversed(event.items())),
        event | {"card_number": None},
        event | {"time": at.astimezone(timezone(timedelta(hours=5))).isoformat()},
    ]
    assert counts(await send(api, [*same, *others])) == (0, 3, ["id_reused"] * 4)
    detail = taken["refused"][0]["detail"]
    assert detail == "This id belongs to something else that was accepted before."


@pytest.mark.parametrize(
    "body", [b"", b"7", b"[", b"[{}", b"[{}]]", b"[1,]", b"[{},,{}]", b'"\\ud800"', b"[" * 100_000]
)
async def test_a_body_that_is_no_json_is_refused_as_a_whole(api: Calling, body: bytes) -> None:
    assert fields(problem(await api.shop.post(EVENTS, body), 400, "invalid_request")) == ["$"]


async def test_a_thousand_events_go_in_one_request_and_not_one_more(api: Calling) -> None:
    member = await api.joined()
    events = [api.event("app.signed_in", member) for _ in range(1_000)]
    assert counts(await send(api, events)) == (1_000, 0, [])
    problem(await api.shop.post(EVENTS, [*events, events[0]]), 400, "invalid_request")
    assert counts(await send(api, [])) == (0, 0, [])


async def test_a_body_is_read_up_to_its_limit(api: Calling) -> None:
    large = problem(await api.shop.post(MEMBERS, b" " * 65_537), 413, "body_too_large")
    assert large["limit_bytes"] == 65_536
    assert (await api.shop.post(EVENTS, b"[" + b" " * 65_537 + b"]")).status_code == 200
    problem(await api.shop.post(EVENTS, b" " * (EVENTS_BYTES + 1)), 413, "body_too_large")


@pytest.mark.parametrize(("path", "body"), [(MEMBERS, joining()), (EVENTS, [])])
async def test_only_the_shop_may_call_its_operations(api: Calling, path: str, body: object) -> None:
    member = await api.joined()
    strangers = [
        Caller(api.client, f"Bearer {key}")
        for key in ("", "ek_", "ek_abc_def", f"{api.secrets.shop_key}x", "x" * 5_000)
    ]
    basic = Caller(api.client, f"Basic {api.secrets.shop_key}")
    for caller in (api.nobody, member, basic, *strangers):
        problem(await caller.post(path, body), 401, "unauthorized")
    assert problem(await api.operator.post(path, body), 403, "forbidden")["scope"] == "shop"


async def test_a_revoked_key_ends_within_seconds(api: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    db = api.services.db
    key = await create_key(db, name="till", scopes=["shop"], programs=None)
    till = Caller(api.client, f"Bearer {key}")
    assert (await till.post(EVENTS, [])).status_code == 200
    known = split(key)
    assert known is not None
    assert await revoke_key(db, known[0])
    assert (await till.post(EVENTS, [])).status_code == 200, "it is remembered for a moment"
    # Only theirs: the event loop reads the same clock.
    monkeypatch.setattr("engage.api.http.api_keys.time", SimpleNamespace(monotonic=lambda: float("inf")))
    problem(await till.post(EVENTS, []), 401, "unauthorized")
