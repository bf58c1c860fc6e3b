"""Pictures of the console's pages: every page that links lead to, and those that only a mistake shows."""

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import httpx
from litestar.routes import HTTPRoute
from playwright.async_api import Browser, Page, ViewportSize

from engage.console.site import console_router
from engage.settings import Settings

PHONE = MappingProxyType({"width": 390, "height": 844})
DESKTOP = MappingProxyType({"width": 1440, "height": 900})
START = "console/campaigns"
OF_A_KIND = 2  # Pages of one route, such as two members.
MORE_OF = {
    "/campaigns/{campaign_id}": 5,
    "/campaigns/{campaign_id}/backtests": 5,
    "/quizzes/{program_id}/{definition_id}": 6,
}

# Routes that are no pages to look at: files, and answers to the browser alone.
NO_PAGES = {"assets", "provider", "certificate", "{rest}", "liability.csv", "report"}

Size = Mapping[str, int]
Scheme = Literal["light", "dark"]
EVERY_LOOK: list[tuple[str, Size, Scheme]] = [
    (f"{name}-{scheme}", size, scheme)
    for name, size in (("phone", PHONE), ("desktop", DESKTOP))
    for scheme in ("light", "dark")
]

# Fields of forms whose answer is a page of its own: (name, page, fields, button).
ANSWERS: tuple[tuple[str, str, dict[str, str], str], ...] = (
    ("new-mistakes", "campaigns/new", {"id": "Not an id!", "title": "Autumn"}, "create"),
    ("try-answer", "campaigns/members-week/try", {"amount": "199", "country": "ES"}, "try"),
    ("try-mistake", "campaigns/members-week/try", {"amount": "much"}, "try"),
    ("edit-mistake", "campaigns/new-year/edit", {"budget.points": "-4"}, "save_form"),
    ("document-mistake", "campaigns/new-year/edit", {"document": 'id = "new-year"\n='}, "save_document"),
    ("password-mistake", "account", {"present_password": "no", "new_password": "short"}, "change"),
    ("members-none", "members", {"search": "nobody-at-all"}, "find"),
    ("operators-mistake", "operators/new", {"email": "no.address@x"}, "create"),
)


async def look_at_console(
    browser: Browser,
    address: str,
    folder: Path,
    looks: Iterable[tuple[str, Size, Scheme]] = EVERY_LOOK,
    *,
    only: str = "",
    language: str = "en",
) -> None:
    """Take pictures of all pages whose name has `only` in it."""
    paths: dict[str, str] = {}
    for look, size, scheme in looks:
        context = await browser.new_context(
            viewport=ViewportSize(width=size["width"], height=size["height"]),
            reduced_motion="reduce",
            color_scheme=scheme,
            locale=language,
        )
        page = await context.new_page()
        page.set_default_timeout(10_000)
        await _sign_in_pages(page, address, folder, look, only)
        await sign_in(page, address)
        paths = paths or await every_page(page, address)
        for name, path in paths.items():
            if only in name:
                await page.goto(f"{address}{path}")
                await picture(page, folder / f"{name}-{look}.png")
        for name, path, fields, button in ANSWERS:
            if only in name:
                await page.goto(f"{address}console/{path}")
                for field, value in fields.items():
                    await _fill(page, field, value)
                await _press(page, button)
                await picture(page, folder / f"{name}-{look}.png")
        if only in "not-found":
            await page.goto(f"{address}console/nowhere")
            await picture(page, folder / f"not-found-{look}.png")
        await context.close()


async def picture(page: Page, path: Path, *, full_page: bool = True) -> None:
    """Take a picture of the page, and say so where it is wider than its window."""
    await page.wait_for_load_state("networkidle")
    sideways = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if sideways > 0:
        sys.stderr.write(f"{path.stem}: {sideways} pixels wider than its window\n")
    await page.screenshot(path=path, full_page=full_page)


async def sign_in(page: Page, address: str, role: str = "admin") -> None:
    async with httpx.AsyncClient() as client:
        accounts = (await client.get(f"{address}v1/sandbox")).json()["console"]
    account = next(each for each in accounts if each["role"] == role)
    await page.goto(f"{address}console/sign-in")
    await page.fill("[name=email]", account["email"])
    await page.fill("[name=password]", account["password"])
    await _press(page, "sign_in")


async def every_page(page: Page, address: str) -> dict[str, str]:
    """The pages that links lead to, some of each route, by names that files can have."""
    routes = _routes()
    found: dict[str, str] = {}
    kinds: dict[str, int] = {}
    waiting, seen = [START, "console/account"], {START, "console/account"}
    while waiting:
        path = waiting.pop(0)
        kind = next((name for name, pattern in routes.items() if pattern.fullmatch(_bare(path))), "")
        if not kind or kinds.get(kind, 0) >= MORE_OF.get(kind, OF_A_KIND):
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
        answer = await page.goto(f"{address}{path}")
        if answer is None or "text/html" not in answer.headers.get("content-type", ""):
            continue
        found[_name_of(kind, kinds[kind])] = path
        for link in await page.eval_on_selector_all("a[href]", "all => all.map((a) => a.href)"):
            target = link.removeprefix(address).partition("#")[0]
            if target.startswith("console/") and target not in seen:
                seen.add(target)
                waiting.append(target)
    for kind in routes.keys() - kinds.keys():
        sys.stderr.write(f"no link leads to {kind}\n")
    return found


def _routes() -> dict[str, re.Pattern[str]]:
    """The routes of pages, those without parameters first."""
    router = console_router(Settings(database_url="", state_url="", queue_url="", topics_url=""))
    names = [
        re.sub(r":\w+", "", each.path_format).removeprefix("/console")
        for each in router.routes
        if isinstance(each, HTTPRoute) and "GET" in each.methods
    ]
    wanted = [name for name in names if name and NO_PAGES.isdisjoint(name.split("/"))]
    return {
        name: re.compile(re.sub(r"\{\w+\}", "[^/]+", name))
        for name in sorted(wanted, key=lambda name: name.count("{"))
    }


def _bare(path: str) -> str:
    return path.partition("?")[0].removeprefix("console")


def _name_of(kind: str, n: int) -> str:
    name = re.sub(r"\{(\w+?)(_id)?\}", r"\1", kind.strip("/")).replace("/", "-")
    return name if n == 1 else f"{name}-{n}"


async def _sign_in_pages(page: Page, address: str, folder: Path, look: str, only: str) -> None:
    if only not in "sign-in":
        return
    await page.goto(f"{address}console/sign-in")
    await picture(page, folder / f"sign-in-{look}.png")
    await page.fill("[name=email]", "nobody@shop.example")
    await page.fill("[name=password]", "not the password")
    await _press(page, "sign_in")
    await picture(page, folder / f"sign-in-mistake-{look}.png")


async def _fill(page: Page, name: str, value: str) -> None:
    control = page.locator(f"main [name='{name}']").first
    if await control.evaluate("(element) => element.tagName") == "SELECT":
        await control.select_option(value)
    else:
        await control.fill(value)


async def _press(page: Page, name: str) -> None:
    """Press a button, without the browser's own check of what was typed."""
    button = page.locator(f"main [name='{name}']").first
    await button.evaluate("(button) => button.form.noValidate = true")
    async with page.expect_navigation():
        await button.click()
