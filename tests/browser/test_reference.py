"""The reference of the API, as somebody reads it on a phone and at a desk."""

import pytest
from playwright.async_api import BrowserContext

from tests.browser.conftest import Installation


@pytest.mark.parametrize("width", [360, 390, 1280])
async def test_the_reference_is_as_wide_as_the_screen(
    context: BrowserContext, installation: Installation, width: int
) -> None:
    page = await context.new_page()
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(f"{installation.address}docs")
    assert await page.evaluate("document.documentElement.scrollWidth") == width
