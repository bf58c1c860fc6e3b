"""Support corrects, merges and erases members, once; above a limit a second person decides."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from engage.domain.members.corrections import ALONE_WITHIN, MOST_ALONE
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.settings import Settings
from tests.console.browsing import Browser, Browsing, browsing
from tests.console.shop import new_member, open_shop
from tests.support.clock import NOON, StoppedClock, advance
from tests.support.database import logged, rows
from tests.support.orders import PROGRAM, balance, spend

MANY = MOST_ALONE + 300


@pytest.fixture(scope="module")
async def console(installed: Settings) -> AsyncIterator[Browsing]:
    async with browsing(installed, StoppedClock(NOON)) as opened:
        await open_shop(opened.services)
        yield opened


def page_of(member_id: str, change: str = "") -> str:
    return f"/console/members/{PROGRAM}/{member_id}{change}"


async def correct(browser: Browser, member: str, points: object, reason: str = "a lost order") -> str:
    """Send the form, and return the text of the page that follows."""
    await browser.open(page_of(member, "/correct"))
    return (await browser.send(page_of(member, "/correct"), points=points, reason=reason)).text


async def requested_of(browser: Browser, member: str) -> str:
    """Open the correction of a member that waits; its path."""
    page = await browser.open(page_of(member))
    path = next(link for link in page.links if link.startswith("/console/corrections/"))
    await browser.open(path)
    return path


async def test_a_small_correction_is_made_at_once_and_logged_without_the_member(console: Browsing) -> None:
    member, browser = await new_member(console.services, points=30), await console.signed_in("support")
    assert "The points are corrected." in await correct(browser, member, 50)
    assert "The points are corrected." in await correct(browser, member, "\N{MINUS SIGN}20", "given twice")
    assert await balance(console.services, member) == {"active": 60}
    assert "given twice" in browser.page.text
    found = await rows(
        console.services.db,
        "SELECT id, state, requested_by_name FROM corrections WHERE member_id = :m ORDER BY id",
        m=member,
    )
    assert [state for _, state, _ in found] == ["made", "made"]
    ((operator, action, _, after),) = await logged(console.services.db, f"correction:{found[0][0]}")
    assert (operator, action, after) == (found[0][2], "made", {"state": "made", "points": 50})


async def test_a_correction_sent_again_is_made_once(console: Browsing) -> None:
    member, browser = await new_member(console.services), await console.signed_in("support")
    page = await browser.open(page_of(member, "/correct"))
    form = page.form(page_of(member, "/correct"))
    fields = form.fields | {"points": ["40"], "reason": ["a gift"]}
    answers = await asyncio.gather(*(browser.post(form.action, fields) for _ in range(3)))
    assert {answer.status for answer in answers} <= {200, 409}
    assert (await browser.post(form.action, fields)).path == page_of(member)
    assert await balance(console.services, member) == {"active": 40}


async def test_above_the_limit_a_second_person_decides(console: Browsing) -> None:
    services = console.services
    member, support = await new_member(services), await console.signed_in("support")
    assert "waits for a second operator" in await correct(support, member, MANY)
    assert await balance(services, member) == {}
    path = await requested_of(support, member)
    assert "An approver or an administrator decides" in support.page.text
    approver = await console.signed_in("approver")
    assert member in (await approver.open("/console/corrections")).text
    await approver.open(path)
    page = await approver.send(f"{path}/approve")
    assert "the points are corrected" in page.text
    assert await balance(services, member) == {"active": MANY}
    actions = [entry[1] for entry in await logged(services.db, f"correction:{path.rpartition('/')[2]}")]
    assert actions == ["requested", "approved"]
    assert "a lost order" in (await approver.open(page_of(member))).text


async def test_nobody_approves_their_own_correction(console: Browsing) -> None:
    member, browser = await new_member(console.services), await console.signed_in("admin")
    await correct(browser, member, MANY)
    path = await requested_of(browser, member)
    assert [form.action for form in browser.page.forms if "approve" in form.action] == []
    fields = browser.page.form(f"{path}/reject").fields
    page = await browser.post(f"{path}/approve", fields)
    assert (page.status, "Four eyes" in page.text) == (403, True)
    assert await balance(console.services, member) == {}
    await browser.open(path)
    page = await browser.send(f"{path}/reject", note="a mistake of mine")
    assert "a mistake of mine" in page.text
    assert await balance(console.services, member) == {}


async def test_a_correction_is_decided_once_by_whoever_comes_first(console: Browsing) -> None:
    member, support = await new_member(console.services), await console.signed_in("support")
    await correct(support, member, MANY)
    path = await requested_of(support, member)
    first, second = [await console.signed_in("approver") for _ in range(2)]
    for browser in (first, second):
        await browser.open(path)
    pages = await asyncio.gather(first.send(f"{path}/approve"), second.send(f"{path}/approve"))
    assert sorted(page.status for page in pages) == [200, 409]
    assert await balance(console.services, member) == {"active": MANY}


async def test_many_small_corrections_are_as_one_large_one(console: Browsing) -> None:
    member, browser = await new_member(console.services), await console.signed_in("support")
    assert "The points are corrected." in await correct(browser, member, MOST_ALONE)
    assert "waits for a second operator" in await correct(browser, member, -1)
    another = await console.signed_in("support")
    assert "The points are corrected." in await correct(another, member, -1)
    advance(console.services, ALONE_WITHIN + timedelta(seconds=1))
    assert "The points are corrected." in await correct(browser, member, 1)
    assert await balance(console.services, member) == {"active": MOST_ALONE}


async def test_a_mistake_is_said_at_its_field_and_keeps_what_was_typed(console: Browsing) -> None:
    member, browser = await new_member(console.services, points=10), await console.signed_in("support")
    for points, reason, status, message in (
        ("0", "a gift", 422, "a whole number between"),
        ("ten", "a gift", 422, "a whole number between"),
        ("9999999999", "a gift", 422, "a whole number between"),
        ("5", "", 422, "Say why"),
        ("-11", "a gift", 409, "Only 10 points can be taken now."),
    ):
        text = await correct(browser, member, points, reason)
        form = browser.page.form(page_of(member, "/correct"))
        assert (browser.page.status, message in text) == (status, True), points
        assert (form.fields["points"], form.fields["reason"]) == ([points], [reason])
    assert await balance(console.services, member) == {"active": 10}


async def test_a_requested_correction_goes_with_the_member(console: Browsing) -> None:
    services = console.services
    old, new, gone = [await new_member(services) for _ in range(3)]
    support, approver = await console.signed_in("support"), await console.signed_in("approver")
    for member in (old, gone):
        await correct(support, member, MANY)
    lost = await requested_of(support, gone)
    await merge_members(services, PROGRAM, old, into=new, reason="one person", operator="test")
    await erase_member(services, PROGRAM, gone, operator="test")
    assert (await approver.open(lost)).status == 404
    path = await requested_of(approver, new)
    await approver.send(f"{path}/approve")
    assert await balance(services, new) == {"active": MANY}


async def test_a_merger_shows_both_and_is_made_once(console: Browsing) -> None:
    services = console.services
    old, new = await new_member(services, points=30), await new_member(services, points=12)
    browser = await console.signed_in("support")
    page = await browser.open(page_of(old, "/merge"))
    assert [form.action for form in page.forms if form.method == "post" and "merge" in form.action] == []
    for nobody in ("nobody", old):
        assert (await browser.open(page_of(old, f"/merge?into={nobody}"))).status == 422
    page = await browser.open(page_of(old, f"/merge?into={new}"))
    assert f"{old} goes" in page.text
    assert f"{new} stays" in page.text
    form = page.form(page_of(old, "/merge"))
    page = await browser.send(form.action, reason="the same person")
    assert (page.path, "You see the one that stays" in page.text) == (page_of(new), True)
    assert (await browser.post(form.action, form.fields | {"reason": ["the same person"]})).path == page_of(
        new
    )
    assert await balance(services, new) == {"active": 42}
    closings = await rows(services.db, "SELECT what, reason FROM closings WHERE member_id = :m", m=old)
    assert closings == [("merged", "the same person")]


async def test_a_member_is_erased_after_typing_the_id_alone(console: Browsing) -> None:
    member, browser = await new_member(console.services, points=7), await console.signed_in("support")
    page = await browser.open(page_of(member, "/erase"))
    form = page.form(page_of(member, "/erase"))
    page = await browser.send(form.action, typed=member.upper())
    assert (page.status, "Nobody was erased." in page.text) == (422, True)
    for _ in range(2):
        page = await browser.post(form.action, form.fields | {"typed": [member]})
        assert (page.path, "The member is erased." in page.text) == ("/console/members", True)
    assert (await browser.open(page_of(member))).status == 410


async def test_nobody_is_erased_while_points_are_held(console: Browsing) -> None:
    member, browser = await new_member(console.services, points=20), await console.signed_in("support")
    await spend(console.services, 5, "o-1", member_id=member, capture=False)
    await browser.open(page_of(member, "/erase"))
    assert "Points are set aside" in browser.page.text
    assert (await browser.send(page_of(member, "/erase"), typed=member)).status == 409
    assert (await browser.open(page_of(member))).status == 200


async def test_deeds_are_for_support_and_for_programs_of_the_operator(console: Browsing) -> None:
    member = await new_member(console.services)
    others = [(await console.signed_in("support", programs=["eu-mi-points"]), 404)]
    others += [(await console.signed_in("finance"), 403), (await console.signed_in("approver"), 403)]
    for browser, status in others:
        token = browser.page.forms[0].fields["form_token"]
        for change, fields in (
            ("/correct", {"points": ["1"], "reason": ["mine"]}),
            ("/merge", {"into": ["x"], "reason": ["mine"]}),
            ("/erase", {"typed": [member]}),
        ):
            path = page_of(member, change)
            assert (await browser.open(path)).status == status
            sent = fields | {"form_token": token, "once": ["o"]}
            assert (await browser.post(path, sent)).status == status
    assert await balance(console.services, member) == {}
    assert (
        page_of(member, "/erase")
        not in (await (await console.signed_in("finance")).open(page_of(member))).links
    )


async def test_corrections_of_other_programs_do_not_exist(console: Browsing) -> None:
    member, support = await new_member(console.services), await console.signed_in("support")
    await correct(support, member, MANY)
    path = await requested_of(support, member)
    other = await console.signed_in("approver", programs=["eu-mi-points"])
    assert member not in (await other.open("/console/corrections")).text
    assert (await other.open(path)).status == 404
    token = (await other.open("/console/corrections")).forms[0].fields["form_token"]
    for change in ("approve", "reject"):
        sent = {"form_token": token, "once": ["o"], "note": ["no"]}
        assert (await other.post(f"{path}/{change}", sent)).status == 404
