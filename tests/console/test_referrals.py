"""Support decides about referrals that are held, once, and sees why they are held."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

from engage.flows.referrals.claim import claim_referral
from engage.flows.referrals.my_referral import read_my_referral
from engage.settings import Settings
from tests.console.browsing import Browser, Browsing, browsing
from tests.console.shop import new_member, open_shop
from tests.support.clock import NOON, StoppedClock
from tests.support.database import logged, rows
from tests.support.referrals import BASE, BY_REGISTRATION, PROGRAM

REFERRALS = "/console/referrals"

_numbers = count(1)


@pytest.fixture(scope="module")
async def console(installed: Settings) -> AsyncIterator[Browsing]:
    async with browsing(installed, StoppedClock(NOON)) as opened:
        await open_shop(opened.services, BASE + BY_REGISTRATION)
        yield opened


async def held(console: Browsing) -> tuple[str, str]:
    """Let a friend with the advocate's address use their code; the friend and the referral's page."""
    services = console.services
    address = f"Calle Mayor {next(_numbers)}, Madrid"
    advocate, friend = [await new_member(services, addresses=[address]) for _ in range(2)]
    code = (await read_my_referral(services, PROGRAM, advocate)).code
    assert (await claim_referral(services, PROGRAM, friend, code)).state == "flagged"
    ((id_,),) = await rows(services.db, "SELECT id FROM referrals WHERE member_id = :m", m=friend)
    return friend, f"{REFERRALS}/{id_}"


async def state_of(console: Browsing, friend: str) -> object:
    ((state,),) = await rows(
        console.services.db, "SELECT state FROM referrals WHERE member_id = :m", m=friend
    )
    return state


async def opened(console: Browsing, path: str) -> Browser:
    browser = await console.signed_in("support")
    await browser.open(path)
    return browser


async def test_the_queue_says_why_a_referral_is_held(console: Browsing) -> None:
    friend, path = await held(console)
    browser = await opened(console, REFERRALS)
    assert friend in browser.page.text
    assert path in browser.page.links
    page = await browser.open(path)
    assert "Both have the same address." in page.text
    assert "Gets 50 points For joining the program" in page.text
    assert friend not in (await browser.open(f"{REFERRALS}?state=approved")).text


async def test_an_approval_is_made_once_and_logged(console: Browsing) -> None:
    friend, path = await held(console)
    browser = await opened(console, path)
    form = browser.page.form(f"{path}/approve")
    for _ in range(2):
        page = await browser.post(form.action, form.fields)
        assert (page.path, "The referral is approved." in page.text) == (path, True)
    assert await state_of(console, friend) == "approved"
    entries = await logged(console.services.db, f"referral:{path.rpartition('/')[2]}")
    assert [(str(operator)[:8], action) for operator, action, _, _ in entries] == [("support-", "approved")]


async def test_a_rejection_needs_a_reason(console: Browsing) -> None:
    friend, path = await held(console)
    browser = await opened(console, path)
    page = await browser.send(f"{path}/reject", reason=" ")
    assert (page.status, "Say why" in page.text) == (422, True)
    assert await state_of(console, friend) == "flagged"
    page = await browser.send(f"{path}/reject", reason="<b>one person</b>")
    assert "<b>one person</b>" in page.text
    assert "<b>one" not in page.html
    assert await state_of(console, friend) == "rejected"
    assert [form.action for form in page.forms if path in form.action] == []


async def test_what_was_decided_the_other_way_stays(console: Browsing) -> None:
    friend, path = await held(console)
    first, second = await opened(console, path), await opened(console, path)
    await first.send(f"{path}/approve")
    assert (await second.send(f"{path}/reject", reason="too late")).status == 409
    assert await state_of(console, friend) == "approved"


async def test_others_read_referrals_and_decide_nothing(console: Browsing) -> None:
    friend, path = await held(console)
    finance = await console.signed_in("finance")
    page = await finance.open(path)
    assert "Support or an administrator decides" in page.text
    sent = {"form_token": page.forms[0].fields["form_token"], "once": ["o"], "reason": ["no"]}
    assert (await finance.post(f"{path}/approve", sent)).status == 403
    assert (await (await console.signed_in("viewer")).open(REFERRALS)).status == 403
    other = await console.signed_in("support", programs=["eu-mi-points"])
    assert friend not in (await other.open(REFERRALS)).text
    assert (await other.open(path)).status == 404
    sent |= {"form_token": other.page.forms[0].fields["form_token"]}
    assert (await other.post(f"{path}/reject", sent)).status == 404
    assert await state_of(console, friend) == "flagged"
