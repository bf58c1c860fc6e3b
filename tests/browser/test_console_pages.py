"""Every page of the console in a real browser. A page that is added later is found by its links."""

from collections.abc import AsyncIterator

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser as Chromium
from playwright.async_api import ConsoleMessage, Route
from playwright.async_api import Page as BrowserPage

from engage.settings import Settings
from tests.browser.conftest import REMARKS, REPORT_VIOLATIONS
from tests.browser.console_contents import ANSWERS, Contents, fill
from tests.console.browsing import Browser, Browsing, browsing
from tests.console.routes import console_routes
from tests.support.clock import NOON, StoppedClock

ORIGIN = "http://localhost"
LOOKS = ((360, False), (1440, True), (1440, False))

# Answers that no browser shows as a page.
FILES = {
    "/console/assets/{version:str}/{name:str}",
    "/console/reports/liability.csv",
    "/console/segments/{program_id:str}/{segment_id:str}/members.csv",
    "/console/draws/{program_id:str}/{draw_id:str}/certificate",
}

# In the dark only colours differ, at any width.
FAULTS = """async (isDark) => {
  const runOnly = isDark ? { runOnly: ["color-contrast"] } : {};
  const { violations } = await axe.run({ resultTypes: ["violations"], ...runOnly });
  const serious = violations.filter((found) => ["serious", "critical"].includes(found.impact));
  const sideways = document.documentElement.scrollWidth - innerWidth;
  return serious
    .map((found) => `${found.id}: ${found.nodes.map((node) => node.target.join(" ")).join(", ")}`)
    .concat(sideways > 0 ? [`${sideways} px too wide`] : []);
}"""


@pytest.fixture(scope="module")
async def console(module_installed: Settings) -> AsyncIterator[Browsing]:
    async with browsing(module_installed, StoppedClock(NOON)) as opened:
        yield opened


@pytest.fixture(scope="module")
async def admin(console: Browsing) -> Browser:
    return await console.signed_in("admin")


@pytest.fixture(scope="module")
async def contents(console: Browsing, admin: Browser) -> Contents:
    return await fill(console, admin)


@pytest.fixture
async def page(browser: Chromium, admin: Browser, contents: Contents) -> AsyncIterator[BrowserPage]:
    """A page whose requests the app in this process answers. Any complaint of the browser fails the test."""
    complaints: list[str] = []

    def collect(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(REMARKS):
            complaints.append(message.text)

    async def answer(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        kept = contents.answers.get(path)
        found = (await admin.client.get(path)) if kept is None else kept.answer
        await route.fulfill(status=found.status_code, headers=dict(found.headers), body=found.content)

    context = await browser.new_context(locale="en-GB", reduced_motion="reduce")
    await context.route(f"{ORIGIN}/**", answer)
    await context.add_init_script(AXE_SCRIPT + REPORT_VIOLATIONS)
    page = await context.new_page()
    page.on("console", collect)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    await context.close()
    assert complaints == []


async def addresses_of(console: Browsing, admin: Browser, contents: Contents) -> dict[str, list[str]]:
    """The addresses of each route that is read. Those that `contents` leaves out are found by links."""
    read = [route for route in console_routes(console.app) if route.method == "GET"]
    found = {route.path: list(contents.addresses.get(route.path, ())) for route in read}
    known = [path for paths in found.values() for path in paths]
    for path in known:  # It grows by each link that leads to a route without an address.
        for link in (await admin.open(path)).links:
            for route in read:
                if not found[route.path] and route.matches(link.partition("?")[0]):
                    found[route.path].append(link)
                    known.append(link)
    return found


async def test_no_page_has_a_serious_fault_or_is_too_wide(
    console: Browsing, admin: Browser, page: BrowserPage, contents: Contents
) -> None:
    addresses = await addresses_of(console, admin, contents)
    assert [route for route, paths in addresses.items() if not paths] == [], "no page has a link to them"
    faults = {}
    pages = [path for route, paths in addresses.items() if route not in FILES for path in paths]
    for path in (*pages, *contents.answers):
        answer = await page.goto(f"{ORIGIN}{path}")
        assert answer is not None
        expected = (200, 422) if path.startswith(ANSWERS) else (404,) if "/no/such" in path else (200,)
        assert answer.status in expected, path
        for width, is_dark in LOOKS:
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme="dark" if is_dark else "light")
            found = await page.evaluate(FAULTS, is_dark)
            if found:
                faults[path, width, is_dark] = found
    assert faults == {}
