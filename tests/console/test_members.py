"""Support finds a member by what the member knows, and sees why there are points."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from engage.console.rendering import TEMPLATES
from engage.domain.activity import Line
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.scheduled.settle import settle_due
from engage.settings import Settings
from tests.console.browsing import Browsing, browsing
from tests.console.shop import new_member, open_shop
from tests.support.clock import NOON, StoppedClock, advance
from tests.support.orders import PROGRAM, buy, paid, returned, send_events, spend, write_review

MEMBERS = "/console/members"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
async def console(installed: Settings) -> AsyncIterator[Browsing]:
    async with browsing(installed, StoppedClock(NOON)) as opened:
        await open_shop(opened.services)
        yield opened


def page_of(member_id: str) -> str:
    return f"{MEMBERS}/{PROGRAM}/{member_id}"


async def test_a_member_is_found_by_id_card_or_phone_and_opened_at_once(console: Browsing) -> None:
    member = await new_member(console.services, phone="+34 612 345 678", cards=["4929-0017"])
    browser = await console.signed_in("support")
    await browser.open(MEMBERS)
    for wanted in (member, "49290017", "4929 0017", "612 345 678", "+34612345678"):
        page = await browser.open(f"{MEMBERS}?search={wanted.replace('+', '%2B')}")
        assert (page.status, page.path) == (200, page_of(member)), wanted
    assert "345 678" not in page.text, "of a phone number only the end is shown"
    assert "678" in page.text


async def test_a_search_that_finds_several_lists_them(console: Browsing) -> None:
    first = await new_member(console.services, phone="+34611222333")
    second = await new_member(console.services, phone="+34611222333")
    browser = await console.signed_in("support")
    page = await browser.open(f"{MEMBERS}?search=611222333")
    assert page.path == MEMBERS
    assert "2 members found" in page.text
    assert {page_of(first), page_of(second)} <= set(page.links)


async def test_a_search_without_a_hit_says_what_to_do(console: Browsing) -> None:
    browser = await console.signed_in("support")
    for wanted in ("nobody", "%3Cscript%3E", "%00", "a" * 300):
        page = await browser.open(f"{MEMBERS}?search={wanted}")
        assert page.status == 200
        assert "<script>" not in page.html
    assert "Nobody found" in (await browser.open(f"{MEMBERS}?search=nobody")).text


async def test_members_of_other_programs_do_not_exist_for_an_operator(console: Browsing) -> None:
    member = await new_member(console.services)
    browser = await console.signed_in("support", programs=["eu-mi-points"])
    assert "Nobody found" in (await browser.open(f"{MEMBERS}?search={member}")).text
    for tab in ("", "/credits", "/orders", "/coupons"):
        assert (await browser.open(page_of(member) + tab)).status == 404


async def test_roles_that_may_not_read_members_see_none(console: Browsing) -> None:
    member = await new_member(console.services)
    for role in ("viewer", "marketer"):
        browser = await console.signed_in(role)
        assert MEMBERS not in browser.page.links
        for path in (MEMBERS, page_of(member), page_of(member) + "/orders"):
            assert (await browser.open(path)).status == 403


async def test_the_page_has_the_balance_and_what_is_set_aside(console: Browsing) -> None:
    member = await new_member(console.services, points=120)
    await spend(console.services, 50, "o-held", member_id=member, capture=False)
    page = await (await console.signed_in("support")).open(page_of(member))
    assert "70 points can be spent now" in page.text
    assert "50 points set aside" in page.text
    assert "All times are in the member’s zone, Europe/Madrid." in page.text
    assert "50 points for a checkout o-held since 21 Nov 2026, 13:00" in page.text
    assert "a welcome" in page.text


async def test_the_statement_says_why_in_the_operators_language(console: Browsing) -> None:
    member = await new_member(console.services)
    await write_review(console.services, member_id=member, review_id=f"r-{member}")
    advance(console.services, timedelta(minutes=5))
    await settle_due(console.services, now=console.services.clock.now())
    browser = await console.signed_in("support")
    page = await browser.open(page_of(member))
    assert "Earned" in page.text
    assert "You reviewed a product on 21 November 2026." in page.text
    assert "+20" in page.text
    await browser.send("/console/language", language="fr")
    page = await browser.open(page_of(member))
    assert "21 novembre 2026" in page.text
    assert "Vous avez" in page.text


async def test_a_long_statement_goes_page_by_page(console: Browsing) -> None:
    member = await new_member(console.services, points=60)
    for number in range(30):
        await spend(console.services, 1, f"o-{number}", member_id=member)
    browser = await console.signed_in("support")
    first = await browser.open(page_of(member))
    more = next(link for link in first.links if "before=" in link)
    second = await browser.open(more)
    assert second.status == 200
    assert "a welcome" in second.text
    assert "a welcome" not in first.text
    assert "a welcome" not in (await browser.open(page_of(member) + "?before=nonsense")).text


async def test_orders_have_what_they_earned_and_what_came_back(console: Browsing) -> None:
    member, services = await new_member(console.services), console.services
    shoes = Line(line_id="1", product_id=SCRIPT, paid=5000)
    await buy(services, shoes, member_id=member, order_id=f"o-{member}{SCRIPT}")
    await buy(services, Line(line_id="1", product_id="cap", paid=900), member_id=member, order_id="back")
    await send_events(services, returned(services, order_id="back", member_id=member))
    page = await (await console.signed_in("support")).open(page_of(member) + "/orders")
    assert f"o-{member}{SCRIPT}" in page.text
    assert SCRIPT not in page.html
    assert "€50.00 50 points purchase: 50, Active" in page.text
    assert "Returned cap €9.00 all given back 0 points" in page.text


async def test_credits_are_chosen_by_state(console: Browsing) -> None:
    member = await new_member(console.services, points=5)
    order = paid(console.services, member_id=member, order_id=f"o-{member}")
    assert await send_events(console.services, order) == []
    browser = await console.signed_in("support")
    page = await browser.open(page_of(member) + "/credits?state=pending")
    assert "purchase" in page.text
    assert "a welcome" not in page.text
    assert "a welcome" in (await browser.open(page_of(member) + "/credits?state=odd")).text
    assert "No coupon" in (await browser.open(page_of(member) + "/coupons")).text


async def test_a_merged_member_leads_to_the_survivor_and_an_erased_one_nowhere(console: Browsing) -> None:
    services = console.services
    old, new, gone = [await new_member(services) for _ in range(3)]
    await merge_members(services, PROGRAM, old, into=new, reason="one person", operator="test")
    await erase_member(services, PROGRAM, gone, operator="test")
    browser = await console.signed_in("support")
    page = await browser.open(page_of(old))
    assert "This account was merged" in page.text
    assert page_of(new) in page.links
    assert (await browser.open(page_of(gone))).status == 410
    page = await browser.open(f"{MEMBERS}?search={gone}")
    assert "Erased" in page.text
    assert page_of(gone) not in page.links


async def test_no_template_marks_a_text_as_safe(console: Browsing) -> None:
    """A text of the shop stays a text, whatever it has in it."""
    unsafe = [file.name for file in TEMPLATES.rglob("*.html") if "safe" in file.read_text(encoding="utf-8")]
    assert unsafe == []
