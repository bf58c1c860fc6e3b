"""The console as operators use it: real servers, a real browser, the keyboard, other sites."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import PHONE, Installation, visit
from tests.support.command_line import advance_clock

PROGRAM = "eu-mi-points"
DESKTOP = {"width": 1440, "height": 900}

_numbers = count(1)


async def sandbox(installation: Installation) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=installation.address) as client:
        found: dict[str, Any] = (await client.get("/v1/sandbox")).json()
        return found


Window = Callable[..., Any]


@pytest.fixture
async def operator(browser: Browser, installation: Installation) -> AsyncIterator[Window]:
    """A function that signs an operator of the sandbox in, by role, in a window of their own."""
    contexts: list[BrowserContext] = []

    async def sign_in(role: str, **options: Any) -> Page:
        accounts = (await sandbox(installation))["console"]
        account = next(each for each in accounts if each["role"] == role)
        context = await browser.new_context(
            **{"viewport": DESKTOP, "locale": "en-GB", "reduced_motion": "reduce"} | options
        )
        contexts.append(context)
        page = await context.new_page()
        await page.goto(f"{installation.address}console/sign-in")
        await page.fill("[name=email]", account["email"])
        await page.fill("[name=password]", account["password"])
        await page.click("[name=sign_in]")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Campaigns")
        return page

    yield sign_in
    for context in contexts:
        await context.close()


@asynccontextmanager
async def next_page(page: Page) -> AsyncIterator[None]:
    """Wait for the page that an action leads to."""
    async with page.expect_navigation():
        yield


async def test_a_members_week_from_the_template_to_the_last_point_of_its_budget(
    operator: Window, installation: Installation, context: BrowserContext
) -> None:
    now = datetime.fromisoformat((await sandbox(installation))["now"])
    begin = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    campaign = f"week-{next(_numbers)}-{now:%Y%m%d%H%M}"
    member = await visit(context, installation)

    # A marketer writes it, sees that it would have cost nothing yet, and submits it.
    marketer = await operator("admin")
    await marketer.goto(f"{installation.address}console/campaigns/new?program={PROGRAM}")
    await marketer.check("[value=members_week]")
    await marketer.fill("[name=title]", "Members week")
    await marketer.fill("[name=id]", campaign)
    await marketer.fill("[name=begin]", f"{begin:%Y-%m-%dT%H:%M}")
    async with next_page(marketer):
        await marketer.click("[name=create]")
    joining = marketer.locator("[name='boosts[0].rules']")
    for rule in ("registration", "app_sign_in"):
        await joining.and_(marketer.locator(f"[value={rule}]")).uncheck()
    await joining.and_(marketer.locator("[value=fuel]")).check()
    await marketer.fill("[name='budget.points']", "2")
    async with next_page(marketer):
        await marketer.click("[name=save_form]")
    await expect(marketer.get_by_role("status").first).to_have_text("Saved.")
    await marketer.get_by_role("link", name="What it would have cost").click()
    async with next_page(marketer):
        await marketer.click("[name=start]")
    await expect(marketer.get_by_text("Done", exact=True)).to_be_visible()
    await expect(marketer.get_by_text("Budget used up")).to_be_visible()
    await marketer.get_by_role("link", name="Overview").click()
    async with next_page(marketer):
        await marketer.get_by_role("button", name="Submit for approval").click()
    address = marketer.url.partition("&")[0]

    # Its author cannot approve it. Somebody else can.
    async with next_page(marketer):
        await marketer.get_by_role("button", name="Approve").click()
    await expect(marketer.get_by_role("alert")).to_contain_text("Whoever wrote a version cannot approve it")
    approver = await operator("approver")
    await approver.goto(address)
    async with next_page(approver):
        await approver.get_by_role("button", name="Approve").click()
    await expect(approver.locator("h1 + .chip")).to_have_text("Scheduled")

    # The day comes. A member taps, and sees twice the points by push.
    await advance_clock(
        httpx.URL(installation.address).port or 0, begin.replace(tzinfo=now.tzinfo) + timedelta(hours=9)
    )
    await member.reload()
    await expect(member.locator("#connection")).to_have_attribute("data-state", "live")
    active = int(await member.inner_text("#active"))
    await member.click("#fuel")
    await expect(member.locator("#pending")).to_have_text("4")
    await member.click("#plus-5-min")
    await expect(member.locator("#active")).to_have_text(str(active + 4))

    # That was all of its budget, and the report says so.
    await approver.goto(address)
    await expect(approver.locator("h1 + .chip")).to_have_text("Running")
    await expect(approver.get_by_text("The budget is used up")).to_be_visible()
    await expect(approver.get_by_text("2 of 2 points used")).to_be_visible()


async def test_the_keyboard_alone_is_enough(operator: Window, installation: Installation) -> None:
    page = await operator("admin")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="New campaign")).to_be_focused()
    async with next_page(page):
        await page.keyboard.press("Enter")
    await page.locator("[value=draw]").focus()
    await page.keyboard.press("Space")
    for name, text in (("title", "Spring draw"), ("id", f"keys-{next(_numbers)}")):
        await page.locator(f"[name={name}]").focus()
        await page.keyboard.type(text)
    async with next_page(page):
        await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Spring draw")


async def test_the_menu_of_a_phone_opens_and_closes(operator: Window, installation: Installation) -> None:
    page = await operator("admin", viewport=PHONE)
    await page.get_by_text("Menu", exact=True).click()
    await expect(page.locator(".drawer")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator(".drawer")).to_be_hidden()


async def test_pages_work_without_scripts(operator: Window, installation: Installation) -> None:
    page = await operator("admin", java_script_enabled=False)
    await page.goto(f"{installation.address}console/campaigns/new?program={PROGRAM}")
    await page.check("[value=draw]")
    await page.fill("[name=title]", "Plain")
    await page.fill("[name=id]", f"plain-{next(_numbers)}")
    async with next_page(page):
        await page.click("[name=create]")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Plain")


async def test_a_page_of_another_site_can_do_nothing(
    operator: Window, installation: Installation, browser: Browser
) -> None:
    """A form that another origin posts has no session, as the cookie stays away, and no token."""
    page = await operator("admin")
    foreign = await page.context.new_page()
    await foreign.set_content(
        f"<form method=post action='{installation.address}console/sign-out'>"
        "<input name=form_token value=guess><button>go</button></form>"
    )
    async with foreign.expect_response("**/console/sign-out") as answer:
        await foreign.click("button")
    assert (await answer.value).status == 403
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Campaigns")


async def test_a_cookie_that_was_copied_ends_with_its_session(
    operator: Window, installation: Installation, browser: Browser
) -> None:
    page = await operator("admin")
    assert await page.evaluate("document.cookie") == "", "scripts see no cookie"
    elsewhere = await browser.new_context(storage_state=await page.context.storage_state())
    copied = await elsewhere.new_page()
    await copied.goto(f"{installation.address}console/account")
    await expect(copied.get_by_role("heading", level=1)).to_have_text("Your account")
    async with next_page(page):
        await page.get_by_role("button", name="Sign out").click()
    await copied.reload()
    await expect(copied.locator("[name=password]")).to_be_visible()
    await elsewhere.close()


async def test_one_of_two_editors_sees_what_the_other_changed(
    operator: Window, installation: Installation
) -> None:
    first, second, campaign = await operator("admin"), await operator("admin"), f"both-{next(_numbers)}"
    await first.goto(f"{installation.address}console/campaigns/new?program={PROGRAM}")
    await first.check("[value=draw]")
    await first.fill("[name=title]", "A draw")
    await first.fill("[name=id]", campaign)
    async with next_page(first):
        await first.click("[name=create]")
    await second.goto(first.url)
    for page, title in ((first, "The first title"), (second, "The second title")):
        await page.fill("[name=title]", title)
        async with next_page(page):
            await page.click("[name=save_form]")
    await expect(first.get_by_role("status").first).to_have_text("Saved.")
    await expect(second.get_by_text("Somebody else has saved this campaign")).to_be_visible()
    await expect(second.get_by_text("The first title").first).to_be_visible()
    await expect(second.locator("[name=title]")).to_have_value("The second title")
    async with next_page(second):
        await second.click("[name=save_form]")
    await expect(second.get_by_role("status").first).to_have_text("Saved.")


# Markup that would change the title of a page where it was taken for more than a text.
MARKUP = "<script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\">"


async def new_member(installation: Installation, *, order_id: str) -> str:
    """Register a member who has paid an order; the page of the member."""
    member_id, found = f"browsed-{next(_numbers)}", await sandbox(installation)
    member = {"member_id": member_id, "program": PROGRAM, "country": "ES", "birth_date": "1990-05-05"}
    line = {"line_id": "1", "product_id": MARKUP, "paid": 19900}
    order = {"order_id": order_id, "channel": "web", "payment": {"method": "card"}, "currency": "EUR"}
    event = {"id": order_id, "type": "order.paid", "time": found["now"], "program": PROGRAM}
    paid = event | {"member_id": member_id, "data": order | {"lines": [line]}}
    authorization = {"authorization": f"Bearer {found['shop_key']}"}
    async with httpx.AsyncClient(base_url=installation.address, headers=authorization) as shop:
        joining = member | {"person_ref": member_id}
        joined = await shop.post(
            "/v1/shop/members", json=joining, headers={"idempotency-key": f"{member_id}-joins"}
        )
        assert joined.status_code == 201, joined.text
        taken = await shop.post(
            "/v1/shop/events", json=[paid], headers={"idempotency-key": f"{member_id}-pays"}
        )
        assert (taken.status_code, taken.json()["accepted"]) == (200, 1), taken.text
    return f"{installation.address}console/members/{PROGRAM}/{member_id}"


async def test_a_member_is_found_and_corrected_by_the_keyboard_alone(
    operator: Window, installation: Installation
) -> None:
    address = await new_member(installation, order_id=f"plain-{next(_numbers)}")
    page = await operator("admin")
    await page.goto(f"{installation.address}console/members")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")  # Past the menu.
    await page.keyboard.press("Tab")
    await expect(page.locator("[name=search]")).to_be_focused()
    await page.keyboard.type(address.rpartition("/")[2])
    async with next_page(page):
        await page.keyboard.press("Enter")
    assert page.url == address
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    for _ in range(2):
        await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Correct points")).to_be_focused()
    async with next_page(page):
        await page.keyboard.press("Enter")
    await page.locator("[name=points]").focus()
    await page.keyboard.type("40")
    await page.keyboard.press("Tab")
    await page.keyboard.type("A gift of the house")
    async with next_page(page):
        await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("The points are corrected.")
    await expect(page.get_by_text("A gift of the house")).to_be_visible()


async def test_nothing_is_sent_twice_by_a_double_click_or_the_back_button(
    operator: Window, installation: Installation
) -> None:
    address = await new_member(installation, order_id=f"twice-{next(_numbers)}")
    page = await operator("admin")
    await page.goto(f"{address}/correct")
    await page.fill("[name=points]", "40")
    await page.fill("[name=reason]", "Once")
    await page.dblclick("[name=correct]")
    await expect(page.get_by_role("status")).to_have_text("The points are corrected.")
    await page.go_back()
    await expect(page.locator("[name=points]")).to_have_value("")
    await page.click("[name=correct]")
    await expect(page.locator("[name=points]")).to_be_focused()
    await page.goto(address)
    await expect(page.get_by_text("Once", exact=True)).to_have_count(1)


async def test_markup_of_the_shop_and_of_operators_stays_a_text(
    operator: Window, installation: Installation
) -> None:
    address = await new_member(installation, order_id=f"{MARKUP}{next(_numbers)}")
    page = await operator("admin", viewport={"width": 360, "height": 900})
    await page.goto(f"{address}/correct")
    await page.fill("[name=points]", "900")
    await page.fill("[name=reason]", MARKUP)
    async with next_page(page):
        await page.click("[name=correct]")
    await page.get_by_role("link", name="Open it").click()
    await expect(page.get_by_text(MARKUP)).to_be_visible()
    member = address.rpartition("/")[2]
    for path in ("", "/orders", "/credits", "/coupons", "/correct", "/merge", "/erase"):
        await page.goto(f"{address}{path}")
        assert await page.title() != "stolen"
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    await page.goto(f"{address}/orders")
    await expect(page.get_by_text(MARKUP).first).to_be_visible()
    await expect(page.get_by_role("heading", level=1)).to_have_text(member)
