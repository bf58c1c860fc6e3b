"""API3, API8 and API9: bodies with too much in them, headers of answers, and routes that nobody listed."""

from typing import Any

import pytest
from litestar.routes import HTTPRoute

from engage.api.app import app_of
from tests.api.calling import Caller, Calling
from tests.console.routes import console_routes
from tests.security.operations import contract, operations

# Pages for people, and files that they load.
SITE = {
    *("/", "/demo/{name:str}", "/docs", "/docs/{name:str}"),
    *("/openapi.json", "/openapi.yaml", "/problems/{code:str}"),
}


async def caller_for(api: Calling, needed: str) -> Caller:
    if needed == "member":
        return await api.joined()
    keys = {"shop": api.shop, "operator": api.operator, "approver": api.approver}
    return keys.get(needed, api.nobody)


async def test_an_event_cannot_set_what_is_ours(api: Calling) -> None:
    member = await api.joined()
    event = api.event("app.signed_in", member)
    for changed in ({"points": 5}, {"data": {"points": 5}}, {"accepted_at": "2020-01-01T00:00:00Z"}):
        (refused,) = (await api.shop.post("/v1/shop/events", [event | changed])).json()["refused"]
        assert refused["code"] == "invalid_event"


async def test_no_answer_is_stored_by_others_and_none_is_for_other_sites(api: Calling) -> None:
    """Answers about somebody are not stored; nobody's page of another site may read one."""
    origin = {"origin": "https://evil.example"}
    for each in operations():
        caller = await caller_for(api, each.needed)
        answer = await api.client.request(each.method, each.address, headers=caller._headers | origin)
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff", each.id
        assert not [name for name in headers if name.startswith("access-control-")], each.id
        if not each.path.startswith("/v1/schemas/"):
            cached = headers.get("cache-control", "")
            assert "no-store" in cached or "private" in cached or "no-cache" in cached, (each.id, cached)


async def test_a_page_of_another_site_may_not_ask_before(api: Calling) -> None:
    """A browser asks by OPTIONS whether it may send; nothing says that it may."""
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for path in ("/v1/me", "/v1/fuel/taps", "/v1/sandbox/members"):
        answer = await api.client.options(path, headers=asked)
        assert not [name for name in answer.headers if name.startswith("access-control-")], path


@pytest.mark.parametrize("path", ["/", "/docs", "/problems/unauthorized", "/console/sign-in"])
async def test_pages_run_no_script_of_others_and_stand_in_no_frame(api: Calling, path: str) -> None:
    answer = await api.client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    scripts = [part for part in policy.split("; ") if part.startswith(("script-src", "default-src"))]
    assert scripts
    assert not [part for part in scripts if "unsafe" in part or "*" in part or "http:" in part]


def test_every_route_is_in_the_contract_or_on_a_list(api: Calling) -> None:
    app = app_of(api.api)
    listed = set(contract()["paths"])
    console = {each.path for each in console_routes(app)}
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or route.path in console or route.path in SITE:
            continue
        assert route.path_format in listed, route.path
    assert not [route for route in app.routes if not isinstance(route, HTTPRoute)]


async def test_an_error_says_nothing_about_the_inside(api: Calling) -> None:
    member = await api.joined()
    for caller, path, body in (
        (member, "/v1/shares", b"{"),
        (member, "/v1/shares", b"\xff\xfe"),
        (member, "/v1/me/credits/%00", None),
        (member, "/v1/me/credits?cursor='", None),
        (api.operator, "/v1/admin/members/'%20OR%201=1?program=x", None),
    ):
        answer: Any = await (caller.get(path) if body is None else caller.post(path, body))
        assert 400 <= answer.status_code < 500
        for word in ("Traceback", "sqlalchemy", "asyncpg", "site-packages", "SELECT", "litestar", "msgspec"):
            assert word not in answer.text
