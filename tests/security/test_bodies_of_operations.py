"""API3 and API4: each operation refuses fields that it does not document, and bodies that cost too much."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.calling import PROGRAM, Caller, Calling
from tests.security.operations import Operation, contract, operations
from tests.support.processor import processor_seconds

BOUND_S = 1.0
MOST_BYTES = 4 * 1024 * 1024  # No body in JSON may be longer.

# What only we, or others with more rights, set.
OURS = {
    **{"status": "paid", "state": "active", "balance": {"active": 10**6}, "amount": 10**6, "points": 10**6},
    **{"user_id": "zoe", "member_id": "zoe", "program": "by-mi-bonus", "role": "admin", "scopes": ["admin"]},
    **{"seq": 7, "is_admin": True, "created_at": "2020-01-01T00:00:00Z", "operator": "zoe", "version": 9},
    **{"__proto__": {"role": "admin"}, "device_attested": True, "held": False, "reversed": False},
}
# Of those, what members may say: how many points they withdraw.
OF_MEMBERS = {("createWithdrawal", "points")}

HOSTILE = {
    "deep lists": b"[" * 50_000,
    "deep objects": b'{"a":' * 10_000,
    "a deep field": b'{"program":' + b"[" * 40 + b"]" * 40 + b"}",
    "a long number": b'{"points":' + b"9" * 50_000 + b"}",
    "not UTF-8": b'{"program":"\xff\xfe"}',
    "half a character": b'{"program":"\\ud800"}',
    "not JSON": b"program=eu-mi-points",
    "XML": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
}


@pytest.fixture(scope="module")
async def callers(api: Calling) -> dict[str, Caller]:
    return {
        "member": await api.joined(),
        "shop": api.shop,
        "operator": api.operator,
        "approver": api.approver,
        "": api.nobody,
    }


def with_body() -> Iterator[Operation]:
    yield from (each for each in operations() if each.body is not None)


def known_fields(schema: dict[str, Any]) -> set[str]:
    """Return the fields of a body, of any of its kinds."""
    if "$ref" in schema:
        return known_fields(contract()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    inner = [
        *schema.get("oneOf", ()),
        *schema.get("anyOf", ()),
        *([schema["items"]] if "items" in schema else ()),
    ]
    return set(schema.get("properties", ())).union(*map(known_fields, inner))


async def test_no_body_sets_what_it_does_not_document(api: Calling, callers: dict[str, Caller]) -> None:
    """Each unknown field is named, and nothing is done."""
    of_members = set()
    for each in with_body():
        known = known_fields(each.body["schema"])
        if each.needed == "member":
            of_members |= {(each.id, field) for field in known & OURS.keys()}
        sent = {field: value for field, value in OURS.items() if field not in known}
        if each.id == "sendEvents":
            continue  # Its mistakes are those of events: `test_answers.py`.
        answer = await send(api, callers[each.needed], each, sent)
        assert answer.status_code in (400, 422), (each.id, answer.text)
        named = {error["field"] for error in answer.json()["errors"]}
        assert sent.keys() <= named, (each.id, answer.text)
    assert of_members == OF_MEMBERS


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_body_is_refused_in_bounded_time(
    api: Calling, callers: dict[str, Caller], hostile: bytes
) -> None:
    for each in with_body():
        with processor_seconds(BOUND_S):
            answer = await send(api, callers[each.needed], each, hostile)
        if each.id == "sendEvents" and answer.status_code == 200:
            assert answer.json()["accepted"] == 0  # Each event of a call is refused by itself.
            continue
        assert answer.status_code == 400, (each.id, answer.text)
        assert answer.json()["code"] in ("invalid_request", "invalid_document"), (each.id, answer.text)


async def test_a_body_that_is_too_large_is_refused(api: Calling, callers: dict[str, Caller]) -> None:
    large = b" " * (MOST_BYTES + 1)
    for each in with_body():
        if each.id == "updateSegment":
            continue  # A million ids are longer; `tests/api/test_segments.py`.
        answer = await send(api, callers[each.needed], each, large)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large"), each.id


async def test_a_key_lets_no_large_or_hostile_body_in(api: Calling, callers: dict[str, Caller]) -> None:
    for each in with_body():
        if each.method != "POST":
            continue
        for body, statuses in ((b" " * (MOST_BYTES + 1), {413}), (HOSTILE["deep lists"], {400})):
            answer = await send(api, callers[each.needed], each, body, idempotency_key="k")
            assert answer.status_code in statuses, (each.id, answer.text)


async def send(api: Calling, caller: Caller, each: Operation, body: Any, **headers: str) -> Any:
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if each.method == "PUT":
        named["if-match"] = '"1"'
    address = f"{each.address}?program={PROGRAM}" if each.id == "updateSegment" else each.address
    return await api.client.request(
        each.method,
        address,
        headers=caller._headers | named | {"content-type": "application/json"},
        **sent,
    )
