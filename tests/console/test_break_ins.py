"""Attempts to do more than one may: with another role, with somebody's cookie, from another site.

Routes come from the app, so one that is added later is tried too.
"""

from collections.abc import Sequence

import pytest
from litestar.routes import HTTPRoute

from engage.domain.operators.roles import ROLES, Permission, Role, may
from engage.flows.operators.accounts import reset_operator
from tests.console.browsing import PASSWORD, Browser, Browsing
from tests.console.routes import ConsoleRoute, console_routes

PROGRAM = "eu-mi-points"
SESSION = "engage_session"
NEW_PASSWORD = "seven green parrots"

# Forms that a viewer may send: about themselves, or nothing comes of them.
FOR_VIEWERS = {
    *("/console/sign-in", "/console/sign-out", "/console/language"),
    *("/console/account/password", "/console/account/second-factor", "/console/account/second-factor/off"),
    "/console/campaigns/{campaign_id:str}/try",
}


def routes(console: Browsing) -> Sequence[ConsoleRoute]:
    found = list(console_routes(console.app))
    assert {route.method for route in found} == {"GET", "POST"}
    assert len(found) > 50
    return found


async def token_of(browser: Browser) -> str:
    """The token that forms of this session carry."""
    page = await browser.open("/console/account")
    return page.form("/console/sign-out").fields["form_token"][0]


async def status_of(browser: Browser, route: ConsoleRoute, token: str, **headers: str) -> int:
    """The status of an answer without going on to another page."""
    browser.client.follow_redirects = False
    if route.method == "GET":
        return (await browser.open(route.address, **headers)).status
    sent = {"form_token": [token], "once": ["o"], "reason": ["r"], "action": ["ended"]}
    return (await browser.post(route.address, sent, **headers)).status


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
async def test_no_role_opens_or_sends_what_it_may_not(console: Browsing, role: Role) -> None:
    browser = await console.signed_in(role)
    token = await token_of(browser)
    closed = [
        route
        for route in routes(console)
        if isinstance(route.needed, Permission) and not may(role, route.needed)
    ]
    assert closed
    answers = {(route.method, route.path): await status_of(browser, route, token) for route in closed}
    assert set(answers.values()) == {403}, answers


async def test_a_viewer_sends_no_form_but_those_about_themselves(console: Browsing) -> None:
    author = await console.signed_in("marketer")
    await author.open(f"/console/campaigns/new?program={PROGRAM}")
    await author.send(
        "/console/campaigns/new", template="draw", id="nothing", title="Draw", begin="2027-03-01T00:00"
    )
    browser = await console.signed_in("viewer")
    token = await token_of(browser)
    forms = [route for route in routes(console) if route.method == "POST"]
    answers = {
        route.path: await status_of(browser, route, token) for route in forms if route.path not in FOR_VIEWERS
    }
    assert {path for path, status in answers.items() if status != 403} == set()
    assert {route.path for route in forms} > FOR_VIEWERS


async def test_nothing_but_signing_in_is_open_without_a_session(console: Browsing) -> None:
    browser = console.window()
    for route in routes(console):
        if route.needed not in ("everybody", "public"):
            assert await status_of(browser, route, "") == 303, route.path
            assert browser.page.answer.headers["location"].startswith("/console/sign-in"), route.path


async def test_no_form_of_another_site_is_taken(console: Browsing) -> None:
    browser = await console.signed_in("admin")
    token = await token_of(browser)
    for route in routes(console):
        if route.method == "POST":
            assert await status_of(browser, route, "guess") == 403, route.path
            assert await status_of(browser, route, token, origin="http://evil.example") == 403, route.path
    assert await token_of(browser) == token


async def test_a_session_of_the_console_opens_nothing_of_the_api_for_operators(console: Browsing) -> None:
    browser = await console.signed_in("admin")
    tried = [
        ConsoleRoute(str(method), route.path, handler)
        for route in console.app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/v1/admin")
        for handler in route.route_handlers
        for method in handler.http_methods - {"OPTIONS", "HEAD"}
    ]
    assert len(tried) > 50
    for route in tried:
        answer = await browser.client.request(route.method, route.address)
        assert answer.status_code == 401, route.path


async def test_a_session_begins_with_an_id_of_its_own(console: Browsing) -> None:
    """Whoever plants a cookie in somebody's browser has nothing once they have signed in."""
    browser, email = console.window(), await console.operator("viewer")
    browser.client.cookies.set(SESSION, "planted", domain="localhost.local", path="/")
    await browser.sign_in(email)
    first = session_of(browser)
    assert first != "planted"
    assert not await is_open(console, "planted")
    other = console.window()
    await other.sign_in(email)
    assert session_of(other) != first


async def test_a_copied_session_ends_when_the_password_is_changed_or_reset(console: Browsing) -> None:
    browser, email = console.window(), await console.operator("viewer")
    await browser.sign_in(email)
    copied = session_of(browser)
    assert await is_open(console, copied)
    await browser.open("/console/account")
    page = await browser.send(
        "/console/account/password",
        present_password=PASSWORD,
        new_password=NEW_PASSWORD,
        repeated=NEW_PASSWORD,
    )
    assert (page.path, "Your password is changed" in page.text) == ("/console/account", True)
    assert not await is_open(console, copied)
    copied = session_of(browser)
    assert await is_open(console, copied)
    await reset_operator(console.services.db, email, by="test")
    assert not await is_open(console, copied)


def session_of(browser: Browser) -> str:
    return next(cookie.value or "" for cookie in browser.client.cookies.jar if cookie.name == SESSION)


async def is_open(console: Browsing, token: str) -> bool:
    """Tell whether a window elsewhere that has this cookie is signed in."""
    thief = console.window()
    thief.client.cookies.set(SESSION, token)
    return (await thief.open("/console/account")).path == "/console/account"
