"""A real installation and a real browser. Each test has its own member; all share the clock."""

import signal
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Response,
    ViewportSize,
    async_playwright,
    expect,
)

from tests.support.clock import FAR_NOON
from tests.support.command_line import advance_clock, up
from tests.support.ports import server_port

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE: ViewportSize = {"width": 390, "height": 844}
EXPECT_MS = 30_000  # A guard against hanging, not a tested limit.

# Remarks of the browser on expected answers, such as a refusal or a restarting feed.
REMARKS = ("Failed to load resource", "WebSocket connection to")

# Scalar tries eval, which the policy refuses, and works without it.
REFERENCE_REMARKS = (*REMARKS, "policy: script-src eval", " Note that 'script-src' was not explicitly set")


REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


class Installation(msgspec.Struct, frozen=True):
    """The folder of a running `engage up`, and the address of its demo page."""

    folder: Path
    address: str


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    expect.set_options(timeout=EXPECT_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
async def installation(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """A running `engage up`, which ends with its file: its loops would slow all tests that come later.

    Depends on `browser`, so that it is not started without one.
    """
    outside = tmp_path_factory.mktemp("browser")
    port = server_port()
    async with up(outside, port) as (running, _):
        await advance_clock(port, FAR_NOON)
        yield Installation(outside / "there", f"http://127.0.0.1:{port}/")
        running.send_signal(signal.SIGTERM)
        await running.wait()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A visitor's browser. Any complaint of its pages fails the test."""
    complaints: list[str] = []

    def collect(message: ConsoleMessage) -> None:
        on_reference = message.page is not None and urlsplit(message.page.url).path == "/docs"
        remarks = REFERENCE_REMARKS if on_reference else REMARKS
        if message.type in ("error", "warning") and not message.text.startswith(remarks):
            complaints.append(message.text)

    def look(response: Response) -> None:
        of_the_page = not urlsplit(response.url).path.startswith("/v1/")
        if response.status >= (HTTPStatus.BAD_REQUEST if of_the_page else HTTPStatus.INTERNAL_SERVER_ERROR):
            complaints.append(f"{response.status} {response.url}")

    # Animations are slow without a graphics card.
    context = await browser.new_context(viewport=PHONE, locale="es-ES", reduced_motion="reduce")
    context.on("console", collect)
    context.on("response", look)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    await context.add_init_script(REPORT_VIOLATIONS)
    yield context
    await context.close()
    assert complaints == []


@pytest.fixture
async def page(context: BrowserContext, installation: Installation) -> Page:
    """The demo store of a new member, connected, with 50 pending points for joining."""
    return await visit(context, installation)


async def visit(context: BrowserContext, installation: Installation, program: str = "eu-mi-points") -> Page:
    page = await context.new_page()
    await page.goto(f"{installation.address}?program={program}")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    await expect(page.locator("#pending")).not_to_have_text("–")
    return page
