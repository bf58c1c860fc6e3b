"""Finance says how withdrawals went, once, and sees what the provider has said."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from engage.flows.members.adjust import AdjustmentRequest, adjust
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.withdrawals.withdraw import withdraw
from engage.runtime.database import transaction
from engage.settings import Settings
from tests.console.browsing import Browsing, browsing
from tests.console.shop import open_shop
from tests.support.clock import NOON, StoppedClock
from tests.support.database import logged, rows
from tests.support.withdrawals import OPEN, PROGRAM, document

WITHDRAWALS = "/console/withdrawals"


@pytest.fixture(scope="module")
async def console(installed: Settings) -> AsyncIterator[Browsing]:
    async with browsing(installed, StoppedClock(NOON)) as opened:
        await open_shop(opened.services, document(OPEN))
        yield opened


async def requested(console: Browsing, member_id: str, method: str = "cash") -> str:
    """Let a new member with 100 points request a withdrawal of 60; its page."""
    services = console.services
    phone = f"+2267{len(member_id):07d}"
    registration = MemberRegistration(member_id=member_id, program=PROGRAM, country="BF", phone=phone)
    await register_member(services, registration)
    given = AdjustmentRequest(points=100, reason="a welcome", reference="welcome")
    await adjust(services, PROGRAM, member_id, given, operator="test")
    made = await withdraw(
        services, PROGRAM, member_id, points=60, method="cash" if method == "cash" else "mobile_money"
    )
    return f"{WITHDRAWALS}/{made.id}"


async def change(console: Browsing, path: str, **values: object) -> None:
    """Set columns of a withdrawal, as its provider's answers do."""
    columns = ", ".join(f"{name} = :{name}" for name in values)
    async with transaction(console.services.db) as conn:
        update = text(f"UPDATE withdrawals SET {columns} WHERE id = :id")
        await conn.execute(update, values | {"id": UUID(path.rpartition("/")[2])})


async def points_of(console: Browsing, member_id: str) -> tuple[object, ...]:
    (found,) = await rows(
        console.services.db, "SELECT active, held FROM balances WHERE member_id = :m", m=member_id
    )
    return found


async def test_cash_waits_for_finance_and_is_paid_once(console: Browsing) -> None:
    path = await requested(console, "cash-one")
    browser = await console.signed_in("finance")
    page = await browser.open(WITHDRAWALS)
    assert path in page.links
    page = await browser.open(f"{WITHDRAWALS}?id={path.rpartition('/')[2]}")
    assert page.path == path
    assert "60 points" in page.text
    form = page.form(f"{path}/settle")
    for _ in range(2):
        page = await browser.post(form.action, form.fields)
        assert (page.path, "its points are spent" in page.text) == (path, True)
    assert await points_of(console, "cash-one") == (40, 0)
    entries = await logged(console.services.db, f"withdrawal:{path.rpartition('/')[2]}")
    assert [action for _, action, _, _ in entries] == ["settled"]
    assert path not in (await browser.open(WITHDRAWALS)).links


async def test_the_points_come_back_when_it_was_not_paid(console: Browsing) -> None:
    path = await requested(console, "cash-back")
    first, second = [await console.signed_in("finance") for _ in range(2)]
    for browser in (first, second):
        await browser.open(path)
    page = await first.send(f"{path}/fail")
    assert "An operator said that it was not paid." in page.text
    assert await points_of(console, "cash-back") == (100, 0)
    assert (await second.send(f"{path}/settle")).status == 409
    assert await points_of(console, "cash-back") == (100, 0)


async def test_what_the_provider_can_still_report_is_left_to_it(console: Browsing) -> None:
    path = await requested(console, "mobile", "mobile_money")
    browser = await console.signed_in("finance")
    page = await browser.open(path)
    assert "There is nothing to do." in page.text
    assert "•" in page.text, "of a phone number only the end is shown"
    assert path not in (await browser.open(WITHDRAWALS)).links
    assert path in (await browser.open(f"{WITHDRAWALS}?which=open")).links
    await change(console, path, state="unknown", provider="bank", submitted_at=NOON)
    assert path in (await browser.open(WITHDRAWALS)).links
    page = await browser.open(path)
    assert "Ask the provider by the id above" in page.text
    await browser.send(f"{path}/settle")
    assert await points_of(console, "mobile") == (40, 0)


async def test_a_difference_with_the_provider_is_shown(console: Browsing) -> None:
    path = await requested(console, "different", "mobile_money")
    await change(console, path, provider="bank", difference="settled, and not paid: <script>")
    browser = await console.signed_in("finance")
    page = await browser.open(f"{WITHDRAWALS}?which=different")
    assert path in page.links
    page = await browser.open(path)
    assert "settled, and not paid: <script>" in page.text
    assert "<script>" not in page.html
    assert (await browser.open(f"{WITHDRAWALS}?id=nonsense")).status == 200
    assert "not the id of a withdrawal" in browser.page.text


async def test_those_that_ended_are_found_by_state_member_and_day(console: Browsing) -> None:
    paid, unpaid, waiting = [await requested(console, f"ended-{n}{'.' * n}") for n in (11, 12, 13)]
    browser = await console.signed_in("finance")
    for path, outcome in ((paid, "settle"), (unpaid, "fail")):
        await browser.open(path)
        await browser.send(f"{path}/{outcome}")
    ended = f"{WITHDRAWALS}?which=closed"
    page = await browser.open(ended)
    assert {paid, unpaid} <= set(page.links)
    assert waiting not in page.links
    page = await browser.open(f"{ended}&state=failed")
    assert (paid in page.links, unpaid in page.links) == (False, True)
    page = await browser.open(f"{ended}&member=ended-11{'.' * 11}")
    assert (paid in page.links, unpaid in page.links) == (True, False)
    today, yesterday = f"{NOON:%Y-%m-%d}", f"{NOON - timedelta(days=1):%Y-%m-%d}"
    assert paid in (await browser.open(f"{ended}&from={today}&until={today}")).links
    page = await browser.open(f"{ended}&until={yesterday}")
    assert (paid in page.links, "No withdrawal has ended that matches" in page.text) == (False, True)
    page = await browser.open(f"{ended}&from=<script>")
    assert (page.status, "<script>" in page.html) == (422, False)
    foreign = await console.signed_in("finance", programs=["eu-mi-points"])
    assert paid not in (await foreign.open(ended)).links


async def test_a_long_list_goes_on_where_it_ended(console: Browsing) -> None:
    paths = {await requested(console, f"many-{number}-{'x' * number}") for number in range(27)}
    browser = await console.signed_in("finance")
    first = await browser.open(f"{WITHDRAWALS}?which=open")
    seen = set(first.links)
    while more := [link for link in browser.page.links if "after=" in link]:
        seen |= set((await browser.open(more[0])).links)
    assert paths <= seen


async def test_withdrawals_are_for_finance_and_programs_of_the_operator(console: Browsing) -> None:
    path = await requested(console, "not-yours")
    others = [(await console.signed_in("support"), 403), (await console.signed_in("viewer"), 403)]
    others.append((await console.signed_in("finance", programs=["eu-mi-points"]), 404))
    for browser, status in others:
        sent = {"form_token": browser.page.forms[0].fields["form_token"], "once": ["o"]}
        assert (await browser.open(path)).status == status
        assert (await browser.post(f"{path}/settle", sent)).status == status
    assert path not in (await others[-1][0].open(f"{WITHDRAWALS}?which=open")).links
    assert await points_of(console, "not-yours") == (40, 60)
