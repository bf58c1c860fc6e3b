"""Operators read who did what, when and why, with the state before and after."""

import asyncio
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from engage import programs
from engage.api.http.api_keys import ApiKeyCache
from engage.flows.operations.keys import bind_key, create_key, revoke_key
from engage.store.api_keys import split
from tests.api.calling import PROGRAM, Caller, Calling, problem
from tests.support.clock import NOON

AUDIT_LOG = "/v1/admin/audit-log"
VERSIONS = f"/v1/admin/programs/{PROGRAM}/versions"
DRAW = {
    "id": "spring",
    "program": PROGRAM,
    "title": {"en": "Spring"},
    "opens_at": "2026-11-01T00:00:00Z",
    "closes_at": "2026-12-01T00:00:00Z",
    "winners": 1,
    "points": 500,
}


async def page(caller: Caller, **query: object) -> dict[str, Any]:
    answer = await caller.get(f"{AUDIT_LOG}?{urlencode(query)}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def entries(api: Calling, **query: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await page(api.operator, **query))["items"]
    return found


async def caller(api: Calling, *opened: str) -> Caller:
    key = await create_key(api.services.db, name="bound", scopes=["admin"], programs=opened or None)
    api.api.keys = ApiKeyCache(api.services.db)  # It knows a new key within a second.
    return Caller(api.client, f"Bearer {key}")


async def test_a_published_version_is_logged_once_with_its_digest(api: Calling) -> None:
    text = programs.text(f"{PROGRAM}/2025").partition("[[examples]]")[0]
    later = text.replace('version = "2025"', 'version = "2027"').replace("2025-06-17", "2027-01-01")
    for status in (201, 200):
        assert (await api.operator.post(VERSIONS, {"document": later})).status_code == status
    problem(await api.operator.post(VERSIONS, {"document": later + "#"}), 409, "version_exists")
    entry, *older = await entries(api, subject=f"program:{PROGRAM}")
    assert (entry["program"], entry["operator"], entry["action"], entry["reason"]) == (
        *(PROGRAM, "sandbox operator", "published"),
        None,
    )
    assert entry["at"] == f"{NOON:%Y-%m-%dT%H:%M:%SZ}"
    assert entry["before"] == {"version": "2025", "sha256": digest(programs.text(f"{PROGRAM}/2025"))}
    assert entry["after"] == {"version": "2027", "in_force_from": "2027-01-01", "sha256": digest(later)}
    assert [(each["operator"], each["after"]["version"]) for each in older] == [
        ("installation", version) for version in ("2025", "2022", "2020")
    ]
    assert older[-1]["before"] is None


def digest(document: str) -> str:
    return sha256(document.encode()).hexdigest()


async def test_a_definition_is_logged_with_the_document_before_and_after(api: Calling) -> None:
    path = "/v1/admin/draws"
    made = await api.operator.post(path, DRAW)
    assert made.status_code == 201, made.text
    problem(await api.operator.post(path, DRAW), 409, "exists")
    changed = await api.operator.put(f"{path}/spring", DRAW | {"points": 700}, if_match=made.headers["etag"])
    assert changed.status_code == 200, changed.text
    change, addition = await entries(api, subject="draw:spring")
    assert [(each["action"], each["operator"]) for each in (addition, change)] == [
        ("added", "sandbox operator"),
        ("changed", "sandbox operator"),
    ]
    assert addition["before"] is None
    assert addition["after"] == change["before"]
    assert (change["before"]["points"], change["after"]["points"]) == (500, 700)


async def test_keys_are_logged_without_their_secrets(api: Calling) -> None:
    key = await create_key(api.services.db, name="till", scopes=["shop"], programs=[PROGRAM])
    id_, _ = split(key) or ("", b"")
    assert await bind_key(api.services.db, id_, None)
    assert await revoke_key(api.services.db, id_)
    assert not await revoke_key(api.services.db, id_)
    revoked, bound, created = found = await entries(api, subject=f"api_key:{id_}")
    whole = {"name": "till", "scopes": ["shop"]}
    assert {(each["operator"], each["program"]) for each in found} == {("command line", None)}
    assert (created["action"], created["before"], created["after"]) == (
        *("created", None),
        whole | {"programs": [PROGRAM]},
    )
    assert (bound["action"], bound["before"], bound["after"]) == (
        *("bound", {"programs": [PROGRAM]}),
        {"programs": None},
    )
    assert (revoked["action"], revoked["before"], revoked["after"]) == (
        *("revoked", whole | {"programs": None}),
        None,
    )
    assert key.rpartition("_")[2] not in str(found)


async def test_a_key_reads_the_log_of_its_programs_alone(api: Calling) -> None:
    everything = await entries(api, limit=100)
    assert {each["program"] for each in everything} >= {None, PROGRAM, "by-mi-bonus"}
    one = await caller(api, "by-mi-bonus")
    assert {each["program"] for each in (await page(one, limit=100))["items"]} == {"by-mi-bonus"}
    assert {each["program"] for each in await entries(api, program=PROGRAM)} == {PROGRAM}
    problem(await one.get(f"{AUDIT_LOG}?program={PROGRAM}"), 403, "other_program")
    problem(await api.shop.get(AUDIT_LOG), 403, "forbidden")


async def test_pages_are_complete_while_entries_are_added(api: Calling) -> None:
    await asyncio.gather(*(caller(api) for _ in range(5)))
    everything = [each["id"] for each in await entries(api, limit=100)]
    seen: list[str] = []
    cursor = None
    while cursor or not seen:
        found = await page(api.operator, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [each["id"] for each in found["items"]]
        cursor = found["next_cursor"]
        await caller(api)
    assert seen == everything
    problem(await api.operator.get(f"{AUDIT_LOG}?cursor=x"), 400, "invalid_request")
    problem(await api.operator.get(f"{AUDIT_LOG}?member=m-1"), 400, "invalid_request")
