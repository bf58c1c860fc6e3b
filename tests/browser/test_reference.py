"""The API reference in a browser, on a phone and on a desktop."""

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.conftest import Installation


async def open_reference(context: BrowserContext, installation: Installation, width: int) -> Page:
    page = await context.new_page()
    await page.set_viewport_size({"width": width, "height": 900})
    await page.goto(f"{installation.address}docs")
    await expect(page.get_by_role("heading", name="engage", exact=True)).to_be_visible()
    return page


@pytest.mark.parametrize("width", [360, 390, 1280])
async def test_the_reference_fits_the_screen(
    context: BrowserContext, installation: Installation, width: int
) -> None:
    page = await open_reference(context, installation, width)
    assert await page.evaluate("document.documentElement.scrollWidth") == width


async def test_an_operation_can_be_tried_from_the_reference(
    context: BrowserContext, installation: Installation
) -> None:
    page = await open_reference(context, installation, 1280)
    await page.goto(f"{installation.address}docs#tag/health/GET/health/live")
    await page.get_by_role("button", name="Test Request (get /health/live)").click()
    async with page.expect_response("**/health/live") as response:
        await page.get_by_role("button", name="Send").first.click()
    assert (await response.value).status == 200
