"""The demo store page as a visitor uses it, with real servers and a real browser."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, Route, expect

from tests.browser.conftest import Installation, visit
from tests.support.command_line import pids

PROGRAM = "eu-mi-points"
JOINING = 50
SMALLEST_TARGET_PX = 44

# An order that is paid and delivered, and an operator's adjustment, as servers would send them.
POST_FOR_MEMBER = """async ({ points }) => {
  const { member_id } = JSON.parse(localStorage.getItem("engage.demo.member"));
  const { now: time, shop_key, admin_key } = await (await fetch("/v1/sandbox")).json();
  const post = async (key, path, body) => {
    const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    return response.json();
  };
  const program = "eu-mi-points";
  const event = (type, data) => ({ id: `${type}-${member_id}`, type, time, program, member_id, data });
  const lines = [{ line_id: "1", product_id: "nova-one", quantity: 1, paid: 15000 }];
  const order = { order_id: `o-${member_id}`, channel: "web", payment: { method: "card" }, lines };
  const taken = await post(shop_key, "/v1/shop/events", [
    event("order.paid", { ...order, shipping: 0, currency: "EUR" }),
    event("order.delivered", { order_id: order.order_id }),
  ]);
  const adjustment = { points, reason: "a gift", reference: member_id };
  await post(admin_key, `/v1/admin/members/${member_id}/adjustments?program=eu-mi-points`, adjustment);
  return taken.accepted;
}"""


@asynccontextmanager
async def home_withheld(page: Page) -> AsyncIterator[None]:
    """Withhold answers to /v1/me until the block ends, so that only a push can change the balance."""
    opened = asyncio.Event()

    async def hold(route: Route) -> None:
        await opened.wait()
        await route.fallback()

    await page.route("**/v1/me", hold)
    try:
        yield
    finally:
        opened.set()
        await page.unroute("**/v1/me", hold)


async def shows(page: Page, *, active: int, pending: int) -> None:
    await expect(page.locator("#active")).to_have_text(str(active))
    await expect(page.locator("#pending")).to_have_text(str(pending))


async def go_to(page: Page, view: str) -> None:
    await page.click(f'.nav a[href="#{view}"]')
    await expect(page.locator(f"#view-{view}")).to_be_visible()


def task(page: Page, rule: str) -> Locator:
    return page.locator(f"#tasks li[data-rule={rule}] button")


async def test_a_tap_is_pending_at_once_and_a_push_makes_it_active(page: Page) -> None:
    await shows(page, active=0, pending=JOINING)
    await page.click("#fuel")
    await expect(page.locator("#fuel-status")).to_have_text("2 pending, day 1 of 7")
    await expect(page.locator("#week li[data-done]")).to_have_count(1)
    await shows(page, active=0, pending=JOINING + 2)
    async with home_withheld(page):
        await page.click("#plus-5-min")
        await shows(page, active=JOINING + 2, pending=0)
    await expect(page.locator("#fuel-status")).to_have_text("2 active, day 1 of 7")
    await go_to(page, "activity")
    await page.click("#tab-statement")
    first = page.locator("#statement tr").first
    await expect(first).to_contain_text("Touch the fuel button, day 1")
    await expect(first.locator("td")).to_contain_text(["fuel button", "+2", str(JOINING + 2)])


async def test_a_second_tap_of_a_day_says_when_the_next_one_opens(page: Page) -> None:
    await page.click("#fuel")
    await expect(page.locator("#fuel")).to_have_attribute("data-tapped", "")
    await page.click("#fuel")
    await expect(page.locator("#toast-urgent")).to_contain_text(re.compile(r"\w"))
    await shows(page, active=0, pending=JOINING + 2)


async def test_an_error_does_not_outlive_the_next_success(page: Page) -> None:
    await page.click("#fuel")
    await expect(page.locator("#fuel")).to_have_attribute("data-tapped", "")
    await page.click("#fuel")
    await expect(page.locator("#toast-urgent p")).to_be_visible()
    await go_to(page, "earn")
    await task(page, "share_link").click()
    await expect(page.locator("#toast-urgent p")).to_have_count(0)


async def test_seven_days_in_a_row_fill_the_week_and_bring_the_bonus(page: Page) -> None:
    await page.emulate_media(reduced_motion="no-preference")
    for day in range(1, 8):
        await page.click("#fuel")
        await expect(page.locator("#fuel-status")).to_contain_text(f"pending, day {day} of 7")
        await expect(page.locator("#week li[data-done]")).to_have_count(day)
        if day < 7:
            await page.click("#plus-1-day")
            await expect(page.locator("#fuel-status")).to_have_text(f"Day {day + 1} of 7 is open")
    await expect(page.locator("#fuel-card")).to_have_attribute("data-celebrating", "")
    await expect(page.locator(".spark-bit").first).to_be_attached()
    await expect(page.locator("#toast-polite")).to_contain_text("The bonus is on its way")
    await expect(page.locator("#fuel-status")).to_have_text("52 pending, day 7 of 7")
    await page.click("#plus-5-min")
    await shows(page, active=JOINING + 7 * 2 + 50, pending=0)
    # Two credits became active in one push: the page noticed the gap in seq and read /v1/me.
    await expect(page.locator("#log [data-kind=resync]").first).to_be_attached()
    await go_to(page, "activity")
    bonus = page.locator("#credits li[data-rule=fuel_streak]")
    await bonus.locator("summary").click()
    await expect(bonus.locator(".why ol")).to_contain_text("every 7 days there is a bonus of 50 points")
    await go_to(page, "home")
    await page.click("#plus-1-day")
    await expect(page.locator("#fuel-status")).to_have_text("Day 1 of 7 is open")
    await expect(page.locator("#run")).to_have_text("7 days in a row")


async def test_shares_count_down_to_the_limit(page: Page) -> None:
    await go_to(page, "earn")
    share = task(page, "share_social")
    for remaining in (3, 2):
        await expect(share).to_contain_text(f"{remaining} left until 1 ")
        await share.click()
    await expect(share).to_contain_text("Once until ")
    await share.click()
    await expect(share).to_be_disabled()
    await expect(share).to_have_attribute("data-state", "done")
    await expect(task(page, "share_link")).to_contain_text("3 left until 1 ")
    await shows(page, active=0, pending=JOINING + 3 * 5)


async def test_removing_a_review_takes_its_points_back(page: Page) -> None:
    await go_to(page, "earn")
    await task(page, "review").click()
    await shows(page, active=0, pending=JOINING + 20)
    await page.click("#plus-5-min")
    await shows(page, active=JOINING + 20, pending=0)
    await go_to(page, "activity")
    review = page.locator("#credits li[data-rule=review]")
    await review.locator("summary").click()
    async with home_withheld(page):
        await review.get_by_role("button", name="Remove this review").click()
        await shows(page, active=JOINING, pending=0)
    await expect(review.locator(".chip")).to_have_text("Taken back")
    await go_to(page, "earn")
    await task(page, "review").click()
    await expect(page.locator("#toast-urgent p")).to_be_visible()


async def test_signing_in_to_the_app_pays_once(page: Page) -> None:
    await go_to(page, "earn")
    await task(page, "app_sign_in").click()
    await shows(page, active=0, pending=JOINING + 50)
    await expect(task(page, "app_sign_in")).to_be_disabled()


async def test_a_tap_without_a_line_is_kept_and_sent_when_the_line_is_back(
    page: Page, context: BrowserContext
) -> None:
    await context.set_offline(offline=True)
    await page.click("#fuel")
    await expect(page.locator("#waiting")).to_have_text("1 to send")
    await expect(page.locator("#toast-polite")).to_contain_text("It is kept")
    await context.set_offline(offline=False)
    await expect(page.locator("#fuel-status")).to_have_text("2 pending, day 1 of 7")
    await expect(page.locator("#waiting")).to_be_hidden()
    await shows(page, active=0, pending=JOINING + 2)


async def test_a_tap_that_was_kept_survives_a_reload_and_counts_once(
    page: Page, context: BrowserContext
) -> None:
    async def lose_the_answer(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/v1/fuel/taps", lose_the_answer, times=1)
    await page.click("#fuel")
    await expect(page.locator("#waiting")).to_have_text("1 to send")
    await page.reload()
    await expect(page.locator("#fuel-status")).to_have_text("2 pending, day 1 of 7")
    await expect(page.locator("#waiting")).to_be_hidden()
    await shows(page, active=0, pending=JOINING + 2)


async def test_a_push_reaches_every_open_tab(
    page: Page, context: BrowserContext, installation: Installation
) -> None:
    other = await visit(context, installation)
    await shows(other, active=0, pending=JOINING)
    async with home_withheld(other):
        await page.click("#fuel")
        await shows(other, active=0, pending=JOINING + 2)
    await expect(other.locator("#fuel-status")).to_have_text("2 pending, day 1 of 7")


async def test_the_page_reconnects_to_a_killed_feed(page: Page, installation: Installation) -> None:
    os.kill(pids(installation.folder)["feed"], signal.SIGKILL)
    await expect(page.locator("#connection")).to_have_attribute("data-state", "reconnecting")
    await page.set_viewport_size({"width": 320, "height": 640})
    button = await page.locator("#member-button").bounding_box()
    assert button is not None
    assert button["x"] + button["width"] <= 320, "the button stays on a small phone"
    await page.click("#fuel")
    await expect(page.locator("#fuel-status")).to_have_text("2 pending, day 1 of 7")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live", timeout=20_000)
    async with home_withheld(page):
        await page.click("#plus-5-min")
        await shows(page, active=JOINING + 2, pending=0)


async def test_the_page_notices_a_feed_that_hangs(
    context: BrowserContext, installation: Installation
) -> None:
    page = await context.new_page()
    await page.clock.install()
    await page.goto(f"{installation.address}?program={PROGRAM}")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    feed = pids(installation.folder)["feed"]
    os.kill(feed, signal.SIGSTOP)
    try:
        await page.clock.fast_forward("00:10")
        await page.clock.fast_forward("00:05")
        await expect(page.locator("#connection")).to_have_attribute("data-state", "reconnecting")
    finally:
        os.kill(feed, signal.SIGCONT)
    await page.clock.resume()
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live", timeout=20_000)


async def test_the_page_plays_every_program(page: Page) -> None:
    await page.click("#member-button")
    programs = await page.locator("#program option").evaluate_all("(all) => all.map((one) => one.value)")
    assert len(programs) >= 4
    await page.click("#member button[value=cancel]")
    for program in programs:
        await page.click("#member-button")
        await page.select_option("#program", program)
        await page.click("#new-member")
        await expect(page.locator("#log-member")).to_contain_text(program)
        for view in ("earn", "play", "shop", "activity", "home"):
            await go_to(page, view)
        await expect(page.locator("#trouble")).to_be_hidden()
        await go_to(page, "earn")
        await expect(page.locator("#tasks li").first).to_be_visible()
        await go_to(page, "home")


async def test_a_new_member_is_made_on_request(page: Page) -> None:
    first = await page.locator("#log-member").text_content()
    await page.click("#member-button")
    await page.select_option("#country", "GB")
    await page.click("#new-member")
    await expect(page.locator("#sandbox-zone")).to_have_text("London")
    await expect(page.locator("#log-member")).not_to_have_text(first or "")


async def test_a_refused_token_is_replaced_and_a_member_who_is_gone_too(page: Page) -> None:
    first = await page.locator("#log-member").text_content() or ""
    await change_stored_member(page, token="none")
    await page.reload()
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    await expect(page.locator("#log-member")).to_have_text(first)
    await change_stored_member(page, token="none", member_id="nobody")
    await page.reload()
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    await expect(page.locator("#log-member")).not_to_have_text(first)
    await shows(page, active=0, pending=JOINING)


async def change_stored_member(page: Page, **changed: str) -> None:
    await page.evaluate(
        """(changed) => {
          const kept = JSON.parse(localStorage.getItem("engage.demo.member"));
          localStorage.setItem("engage.demo.member", JSON.stringify({...kept, ...changed}));
        }""",
        changed,
    )


async def test_a_page_that_stays_open_stays_connected_under_a_new_token(
    context: BrowserContext, installation: Installation
) -> None:
    page = await context.new_page()
    await page.clock.install()
    await page.goto(f"{installation.address}?program={PROGRAM}")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    async with page.expect_response("**/v1/sandbox/tokens") as renewed:
        await page.clock.fast_forward("24:00:00")
    assert (await renewed.value).status == 201
    await expect(page.locator("#log")).to_contain_text("ticket of a new token sent")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    await page.click("#fuel")
    await shows(page, active=0, pending=JOINING + 2)


async def test_the_page_fits_a_small_screen(page: Page) -> None:
    await page.set_viewport_size({"width": 360, "height": 640})
    await go_to(page, "earn")
    await task(page, "review").click()
    await expect(page.locator("#pending")).to_have_text(str(JOINING + 20))
    await go_to(page, "activity")
    await page.locator("#credits li[data-rule=review] summary").click()
    await expect(page.get_by_role("button", name="Remove this review")).to_be_visible()
    for view in ("activity", "shop", "play", "earn", "home"):
        await go_to(page, view)
        assert await page.evaluate("document.documentElement.scrollWidth") == 360, view
        small = await page.evaluate(
            """(smallest) => [...document.querySelectorAll("button, select, summary, .product, .nav a")]
              .filter((target) => target.checkVisibility())
              .filter((target) => target.getBoundingClientRect().height < smallest)
              .filter((target) => !target.closest(".log"))
              .map((target) => target.id || target.textContent)""",
            SMALLEST_TARGET_PX,
        )
        assert small == [], view


async def test_the_way_of_a_tap_is_shown_on_a_phone(page: Page) -> None:
    await page.click("#fuel")
    await expect(page.locator("#trace")).to_be_hidden()
    await page.click("#show-trace")
    await expect(page.locator("#trace")).to_be_visible()
    await expect(page.locator("#steps li").nth(1)).to_contain_text("202 in")
    await page.click("#show-trace")
    await expect(page.locator("#trace")).to_be_hidden()


async def test_an_order_is_bought_delivered_and_returned(page: Page) -> None:
    await go_to(page, "shop")
    await page.get_by_role("button", name="Add Pulse Band").click()
    await page.get_by_role("button", name="Buy for").click()
    order = page.locator("#orders li")
    await expect(order).to_contain_text("Pulse Band")
    await expect(page.locator("#pending")).to_have_text(str(JOINING + 47))
    await order.get_by_role("button", name="Deliver").click()
    await expect(order).to_have_attribute("data-state", "delivered")
    await page.click("#plus-5-min")
    await shows(page, active=JOINING + 47, pending=0)
    await order.get_by_role("button", name="Return").click()
    await expect(order).to_have_attribute("data-state", "returned")
    await shows(page, active=JOINING, pending=0)


async def test_points_become_a_coupon_and_the_coupon_a_discount(page: Page) -> None:
    await page.evaluate(POST_FOR_MEMBER, {"points": 600})
    await page.click("#plus-5-min")
    await shows(page, active=JOINING + 150 + 600, pending=0)
    await go_to(page, "shop")
    await page.locator("#rewards li").first.get_by_role("button").click()
    coupon = page.locator("#coupons li")
    await expect(coupon).to_have_attribute("data-state", "issued")
    await page.get_by_role("button", name="Add Nova One").click()
    await page.locator(".choice[data-coupon] input").check()
    await page.get_by_role("button", name="Buy for").click()
    await expect(coupon).to_have_attribute("data-state", "used")
    await go_to(page, "activity")
    await page.click("#tab-statement")
    await expect(page.locator("#statement tr").first).to_contain_text("−500")


async def test_what_the_shop_and_an_operator_post_is_named_in_words(page: Page) -> None:
    assert await page.evaluate(POST_FOR_MEMBER, {"points": 7}) == 2
    await page.click("#plus-5-min")
    await shows(page, active=JOINING + 150 + 7, pending=0)
    await go_to(page, "activity")
    credits = page.locator("#credits li")
    await expect(credits.filter(has_text="Order o-m-")).to_contain_text("Buy on mi.com")
    await expect(credits.filter(has_text="Corrected by the store")).to_contain_text("+7")
    await page.click("#tab-statement")
    statement = page.locator("#statement tr")
    await expect(statement.filter(has_text="Buy on mi.com")).to_contain_text("+150")
    await expect(statement.filter(has_text="Corrected by the store")).to_contain_text("+7")


@pytest.fixture
async def demo(context: BrowserContext, installation: Installation) -> Page:
    """The page in the program that has a bit of everything."""
    return await visit(context, installation, "demo-store")


async def test_a_quiz_is_answered_and_explained(demo: Page) -> None:
    await go_to(demo, "play")
    await demo.locator("#quizzes li button").click()
    for _ in range(3):
        question = demo.locator("#quiz form")
        await expect(question).to_be_visible()
        option = question.locator("input").first
        if await option.count():
            await option.check()
        await question.get_by_role("button", name=re.compile("Next|Send")).click()
    await expect(demo.locator("#quiz .review li")).to_have_count(3)
    await expect(demo.locator("#quiz .review li").first).to_contain_text(re.compile(r"\w+"))
    await demo.get_by_role("button", name="Close").click()
    await expect(demo.locator("#quizzes")).to_contain_text("2 attempts")


async def test_the_wheel_turns_until_no_chance_is_left(demo: Page) -> None:
    await go_to(demo, "play")
    wheel = demo.locator(".wheel")
    for left in ("2 chances", "1 chance"):
        await expect(wheel.locator(".chances")).to_have_text(left)
        await wheel.locator(".spin").click()
        await expect(wheel.locator(".result")).to_have_text(re.compile(r"!|Nothing"))
    await expect(wheel.locator(".spin")).to_be_disabled()


# An operator opens a draw that closes in a day.
OPEN_A_DRAW = """async () => {
  const { now, admin_key } = await (await fetch("/v1/sandbox")).json();
  const closes = new Date(Date.parse(now) + 86_400_000).toISOString();
  const draw = { id: `draw-${Date.parse(now)}`, program: "demo-store", title: { en: "Fans" },
    opens_at: now, closes_at: closes, winners: 1, points: 500,
    conditions: { hashtag: "#engage", mentions: 2, public: true } };
  const headers = { Authorization: `Bearer ${admin_key}`, "Content-Type": "application/json" };
  return (await fetch("/v1/admin/draws", { method: "POST", headers, body: JSON.stringify(draw) })).status;
}"""


async def test_a_draw_is_entered_drawn_and_certified(demo: Page) -> None:
    assert await demo.evaluate(OPEN_A_DRAW) == 201
    await go_to(demo, "play")
    draw = demo.locator("#draws li[data-state=open]").first
    await draw.get_by_role("button", name="Enter the draw").click()
    await expect(draw).to_contain_text("Your number is")
    for _ in range(2):
        await demo.click("#plus-1-day")
        await expect(demo.locator("#plus-1-day")).not_to_have_attribute("aria-busy", "true")
    drawn = demo.locator("#draws li[data-state=drawn]").first
    await expect(drawn).to_contain_text("you won!")
    await drawn.get_by_role("button", name="Certificate").click()
    await expect(demo.locator("#certificate-facts")).to_contain_text("root")
    await expect(demo.locator("#certificate-command")).to_contain_text("engage draw verify")


async def test_challenges_tiers_and_the_leaderboard_follow_what_the_member_does(demo: Page) -> None:
    await expect(demo.locator(".tier")).to_contain_text("Bronze")
    await expect(demo.locator("#home-challenges")).to_be_visible()
    await demo.click("#fuel")
    await go_to(demo, "earn")
    for rule in ("share_social", "share_social", "share_social", "review", "app_sign_in"):
        await task(demo, rule).click()
        await expect(task(demo, rule)).not_to_have_attribute("aria-busy", "true")
    await demo.click("#plus-5-min")
    await go_to(demo, "home")
    await expect(demo.locator(".tier")).to_contain_text("Silver")
    await go_to(demo, "play")
    await expect(demo.locator("#view-play li[data-challenge=all_round]")).to_have_attribute(
        "data-state", "done"
    )
    await expect(demo.locator(".board tr[data-me]")).to_be_visible()


async def test_an_invitation_leads_to_a_new_member(
    demo: Page, browser: Browser, installation: Installation
) -> None:
    await go_to(demo, "earn")
    await expect(demo.locator("#referral-code")).to_have_text(re.compile(r"\w{6}"))
    code = await demo.locator("#referral-code").text_content()
    friend = await browser.new_page()
    await friend.goto(f"{installation.address}?ref={code}")
    await expect(friend.locator("#toast-polite")).to_contain_text("invitation")
    await friend.close()
    await go_to(demo, "home")
    await go_to(demo, "earn")
    await expect(demo.locator("#referral-counts")).to_contain_text("1")


async def test_a_lost_run_is_said_and_a_freeze_offered(demo: Page) -> None:
    await expect(demo.locator("#freezes")).to_contain_text("1 freeze")
    for day in (1, 2):
        await demo.click("#fuel")
        await expect(demo.locator("#fuel-status")).to_contain_text(f"day {day} of 7")
        await demo.click("#plus-1-day")
        await expect(demo.locator("#fuel")).not_to_have_attribute("data-tapped", "")
    await expect(demo.locator("#lost-run")).to_be_hidden()
    for _ in range(2):
        await demo.click("#plus-1-day")
        await expect(demo.locator("#plus-1-day")).not_to_have_attribute("aria-busy", "true")
    await expect(demo.locator("#lost-title")).to_have_text("You lost a run of 2 days")
    await expect(demo.locator("#lost-words")).to_contain_text("A freeze would have saved it")
    await expect(demo.locator("#fuel-status")).to_have_text("Start a streak of 7 days")
    await demo.click("#buy-freeze")
    await expect(demo.locator("#freezes")).to_contain_text("1 freeze")
