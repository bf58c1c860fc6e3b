"""Every page of the console names whom it is for, and keeps scripts out."""

from tests.console.browsing import Browsing
from tests.console.routes import console_routes


async def test_every_page_says_whom_it_is_for(console: Browsing) -> None:
    routes = list(console_routes(console.app))
    assert len(routes) > 5
    assert [route.path for route in routes if route.needed is None] == []


async def test_a_page_has_no_script_of_its_own(console: Browsing) -> None:
    page = await console.window().open("/console/sign-in")
    policy = page.answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in page.html
    assert " style=" not in page.html
    assert page.answer.headers["x-frame-options"] == "DENY"
    assert page.answer.headers["cache-control"] == "no-store"


async def test_files_are_kept_by_browsers_for_ever(console: Browsing) -> None:
    page = await console.window().open("/console/sign-in")
    path = next(part for part in page.html.split('"') if part.endswith("/console.css"))
    answer = await console.window().client.get(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (await console.window().client.get("/console/assets/0/console.css")).status_code == 404


async def test_a_page_that_does_not_exist_says_so(console: Browsing) -> None:
    browser = await console.signed_in("viewer")
    page = await browser.open("/console/nowhere")
    assert (page.status, "There is no such page" in page.text) == (404, True)
