"""Every mistake of a body is listed at once, in words and in its order."""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.handlers import HTTPRouteHandler
from msgspec import Meta, inspect

from engage.api.controllers import controllers
from engage.api.http.bodies import MISTAKES_SHOWN, mistakes
from engage.api.http.operation import OPT
from engage.flows.checkout.hold import HoldRequest
from engage.flows.members.register import MemberRegistration
from tests.api.calling import Calling, fields, problem
from tests.support.generated_cases import cases

HANDLERS = [
    handler
    for controller in controllers(sandbox=True)
    for handler in vars(controller).values()
    if isinstance(handler, HTTPRouteHandler)
]
BODIES = [handler.opt[OPT].body for handler in HANDLERS if handler.opt[OPT].body is not None]
KINDS = inspect.multi_type_info(BODIES)

# Of these, every type of text in a body accepts one.
TEXTS = ("ES", "EUR", "web-1", "card", "+34600123456", "en", "#spring", "1/20", "points_earned", "10:00")

WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 10**13, 1.0, 1e3, "", "a\n", "a b", "é", "x" * 300, [], {}, [{}], [None], *TEXTS]
)


@settings(max_examples=cases(200))
@given(st.sampled_from(range(len(BODIES))), st.data())
def test_the_slow_walk_refuses_what_msgspec_refuses_and_nothing_else(n: int, drawn: st.DataObject) -> None:
    body = {"body": deepcopy(sound(inspect.type_info(BODIES[n])))}
    for _ in range(drawn.draw(st.integers(0, 4))):
        spoil(body, drawn)
    sent = msgspec.json.encode(body["body"])
    try:
        msgspec.json.decode(sent, type=BODIES[n])
    except msgspec.ValidationError:
        assert mistakes(sent, BODIES[n])


def test_every_wrong_field_of_every_body_is_listed_in_its_order() -> None:
    for kind in structs():
        wrong = {field.encode_name: {"no such": None} for field in reversed(kind.fields)} | {"extra": 1}
        tag = {} if kind.tag_field is None else {kind.tag_field: kind.tag}
        found = mistakes(msgspec.json.encode(tag | wrong), kind.cls)
        names = [error.field.partition(".")[0] for error in found]
        assert list(dict.fromkeys(names)) == list(wrong), kind.cls


def test_every_missing_field_of_every_body_is_listed() -> None:
    for kind in structs():
        tag = {} if kind.tag_field is None else {kind.tag_field: kind.tag}
        needed = [field.encode_name for field in kind.fields if field.required]
        assert (
            [error.field for error in mistakes(msgspec.json.encode(tag), kind.cls)] == needed
            if needed
            else True
        )


def test_a_mistake_is_described_in_words_and_never_by_a_regular_expression() -> None:
    for kind in structs():
        for field in kind.fields:
            for text in texts(field.type):
                assert text.pattern is None or described(field.type), (kind.cls, field.name)


def test_every_message_names_what_is_expected() -> None:
    for kind in structs():
        tag = {} if kind.tag_field is None else {kind.tag_field: kind.tag}
        # A field may have the name of one of these words.
        words = {"expected", "with", "of"} - {field.encode_name for field in kind.fields}
        for sent in (tag | {"extra": 1}, 5):
            messages = [error.message for error in mistakes(msgspec.json.encode(sent), kind.cls)]
            assert messages, kind.cls
            empty = rf"({'|'.join(sorted(words))}) ?,"
            assert [text for text in messages if re.search(empty, text)] == [], kind.cls


async def test_a_registration_lists_all_of_its_mistakes(api: Calling) -> None:
    sent = {
        "nick": "Ana",
        "member_id": "a b",
        "country": "Spain",
        "birth_date": "1990-02-30",
        "kind": "robot",
        "card_numbers": ["4929001", 7, "1"],
    }
    refused = problem(await api.shop.post("/v1/shop/members", sent), 400, "invalid_request")
    assert refused["errors"] == [
        {
            "field": "nick",
            "message": "expected one of member_id, program, country, birth_date, kind, person_ref, phone, "
            "card_numbers, referral_code, device_ids, addresses, got an unknown field",
        },
        {
            "field": "member_id",
            "message": 'expected the shop\'s id of a member, 1 to 64 letters, digits and ._~:@+-|, got "a b"',
        },
        {
            "field": "country",
            "message": 'expected a country\'s two letters (ISO 3166-1), such as ES, got "Spain"',
        },
        {"field": "birth_date", "message": 'expected a date, such as 2022-09-01, got "1990-02-30"'},
        {"field": "kind", "message": 'expected company or person, got "robot"'},
        {
            "field": "card_numbers[1]",
            "message": "expected a card number: 4 to 64 digits and letters, with blanks, dots, slashes or "
            "hyphens, got 7",
        },
        {
            "field": "card_numbers[2]",
            "message": "expected a card number: 4 to 64 digits and letters, with blanks, dots, slashes or "
            'hyphens, got "1"',
        },
        {
            "field": "program",
            "message": "expected a name of small letters, digits and -, at most 32, beginning with a letter, "
            "got nothing",
        },
    ]


@pytest.mark.parametrize("member_id", ["auth0|5f7c8ec7c33c6c004bbafe82", "a|b:c@d+e~f.g_h-i"])
async def test_a_member_id_of_an_identity_provider_is_taken(api: Calling, member_id: str) -> None:
    member = await api.joined(member_id=member_id)
    member = api.member_of("eu-mi-points", member_id)
    assert (await member.post("/v1/fuel/taps")).status_code == 202
    shown = await api.operator.get(f"/v1/admin/members/{member_id.replace('|', '%7C')}")
    assert shown.json()["member_id"] == member_id


async def test_mistakes_of_parameters_are_listed_in_words_too(api: Calling) -> None:
    member = await api.joined()
    path = f"/v1/me/credits?limit=1000&state=lost&cursor={'x' * 129}"
    refused = problem(await member.get(path), 400, "invalid_request")
    assert sorted((error["field"], error["message"]) for error in refused["errors"]) == [
        ("cursor", f'expected text of at most 128 characters, got "{"x" * 59}…"'),
        ("limit", 'expected a whole number from 1 to 100, got "1000"'),
        ("state", 'expected one of active, expired, pending, reversed, got "lost"'),
    ]
    liability = await api.operator.get("/v1/admin/reports/liability?from=" + "1" * 41)
    assert fields(problem(liability, 400, "invalid_request")) == ["from"]


async def test_a_whole_number_is_written_as_one(api: Calling) -> None:
    line = {"line_id": "1", "product_id": "band", "paid": 5}
    order = {"member_id": "m", "order_id": "o", "lines": [line], "payment": {"method": "card"}}
    for written in (b"1e3", b"350.0", b'"5"', b"+5", b"1_000", b"0x10", b"NaN", b"1e999", b"9" * 5_000):
        body = msgspec.json.encode(order | {"currency": "EUR", "points": 5})
        sent = body.replace(b'"points":5', b'"points":' + written)
        refused = problem(await api.shop.post("/v1/shop/checkout/holds", sent), 400, "invalid_request")
        assert fields(refused) in (["points"], ["$"]), written


def test_a_thousand_mistakes_are_not_all_listed() -> None:
    lines = [{"line_id": str(n)} for n in range(500)]
    found = mistakes(msgspec.json.encode({"lines": lines, "y" * 100_000: 1}), HoldRequest)
    assert len(found) == MISTAKES_SHOWN
    assert max(len(error.field) + len(error.message) for error in found) < 400
    assert mistakes(b"[" * 60_000, MemberRegistration)[0].field == "$"


def structs() -> Iterator[inspect.StructType]:
    """Yield the structs of all bodies, each once."""
    seen: set[type] = set()
    waiting: list[Any] = [*KINDS]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, inspect.StructType) and kind.cls not in seen:
            seen.add(kind.cls)
            yield kind
            waiting += [field.type for field in kind.fields]
        waiting += parts(kind)


def parts(kind: inspect.Type) -> list[inspect.Type]:
    match kind:
        case inspect.Metadata():
            return [kind.type]
        case inspect.UnionType():
            return [*kind.types]
        case inspect.ListType():
            return [kind.item_type]
        case inspect.DictType():
            return [kind.key_type, kind.value_type]
        case _:
            return []


def texts(kind: inspect.Type) -> list[inspect.StrType]:
    return [kind] if isinstance(kind, inspect.StrType) else [t for part in parts(kind) for t in texts(part)]


def described(kind: inspect.Type) -> bool:
    """Return whether a type has a description that fits into "expected …, got …"."""
    match kind:
        case inspect.Metadata():
            text = (kind.extra_json_schema or {}).get("description", "")
            return text[:1] == text[:1].lower() and not text.endswith(".") and text != ""
        case _:
            return any(described(part) for part in parts(kind))


def sound(kind: inspect.Type) -> Any:
    """Make a value of a type, with all fields."""
    match kind:
        case inspect.StructType():
            made = {field.encode_name: sound(field.type) for field in kind.fields}
            return made if kind.tag_field is None else made | {kind.tag_field: kind.tag}
        case inspect.ListType():
            return [sound(kind.item_type)]
        case inspect.DictType():
            return {sound(kind.key_type): sound(kind.value_type)}
        case inspect.Metadata() | inspect.UnionType():
            return sound(parts(kind)[0])
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.EnumType():
            return next(iter(kind.cls)).value
        case inspect.StrType():
            meta = Meta(min_length=kind.min_length, max_length=kind.max_length, pattern=kind.pattern)
            return next(text for text in TEXTS if converts(text, Annotated[str, meta]))
        case _:
            return SOUND[type(kind)]


SOUND: dict[type[inspect.Type], Any] = {
    inspect.IntType: 1,
    inspect.BoolType: True,
    inspect.UUIDType: "019aa3c0-7c1e-7b6a-9d6e-2f1f0f6d3a10",
    inspect.DateType: "1990-02-28",
    inspect.DateTimeType: "2026-11-21T10:00:00Z",
    inspect.TimeDeltaType: "PT5M",
}


def converts(value: object, type_: Any) -> bool:
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError:
        return False
    return True


def spoil(place: Any, drawn: st.DataObject) -> None:
    """Put a wrong value somewhere, or take a field away, or add one."""
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = drawn.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or drawn.draw(st.booleans()):
            break
        place = place[key]
    match drawn.draw(st.sampled_from(["put", "drop", "add"])):
        case "drop" if key != "body":
            del place[key]
        case "add" if isinstance(place, dict) and key != "body":
            place[drawn.draw(st.sampled_from(["pionts", "a b", "type"]))] = 1
        case _:
            place[key] = deepcopy(drawn.draw(WRONG))
