"""Support reviews what is held on one device: all of it at once, and back again in one action."""

from collections.abc import AsyncIterator
from itertools import count
from uuid import UUID

import pytest

from engage.domain.operators.roles import Role
from engage.settings import Settings
from tests.console.browsing import Browser, Browsing, browsing
from tests.support.clock import NOON, StoppedClock
from tests.support.database import rows
from tests.support.protection import join, open_ring, origin, perform, visit

SUSPICIONS = "/console/suspicions"

_numbers = count(1)


@pytest.fixture(scope="module")
async def console(installed: Settings) -> AsyncIterator[Browsing]:
    async with browsing(installed, StoppedClock(NOON)) as opened:
        await open_ring(opened.services)
        yield opened


async def held(console: Browsing, *, visits: bool = False) -> tuple[list[str], str]:
    """Five members tap on a new device: those whose points are held, and the page of the suspicion. With
    `visits` they have more points than one operator may take.
    """
    services, number = console.services, next(_numbers)
    members = [f"r{number}-{n}" for n in range(5)]
    await join(services, members)
    where = origin(f"device {number}")
    for member in members:
        await perform(services, member, where=where)
        if visits:
            await perform(services, member, visit(), where=where)
    ((id_,),) = await rows(services.db, "SELECT id FROM suspicions WHERE source = :s", s=where.device)
    return members[3:], f"{SUSPICIONS}/{id_}"


async def states(console: Browsing, members: list[str]) -> set[str]:
    found = await rows(console.services.db, "SELECT state FROM credits WHERE member_id = ANY(:m)", m=members)
    return {str(state) for (state,) in found}


async def opened(console: Browsing, path: str, *, role: Role = "support") -> Browser:
    browser = await console.signed_in(role)
    await browser.open(path)
    return browser


async def test_the_queue_leads_to_what_the_members_have_in_common(console: Browsing) -> None:
    members, path = await held(console)
    browser = await opened(console, SUSPICIONS)
    assert path in browser.page.links
    page = await browser.open(path)
    assert all(member in page.text for member in members)
    assert "places for 3 members on one device (2026-11-21)" in page.text
    assert members[0].replace("-3", "-0") in page.text, "and who has a place"
    assert path not in (await browser.open(f"{SUSPICIONS}?state=rejected")).links


async def test_a_rejection_needs_a_reason_and_can_be_taken_back(console: Browsing) -> None:
    members, path = await held(console)
    browser = await opened(console, path)
    page = await browser.send(f"{path}/reject", reason=" ")
    assert (page.status, "Say why" in page.text) == (422, True)
    assert await states(console, members) == {"pending"}
    page = await browser.send(f"{path}/reject", reason="<b>one person</b>")
    assert "The points are taken back." in page.text
    assert "<b>one person</b>" in page.text
    assert "<b>one" not in page.html
    assert await states(console, members) == {"reversed"}
    page = await browser.send(f"{path}/undo", reason="a school")
    assert "The decision is taken back." in page.text
    assert await states(console, members) == {"reversed", "pending"}


async def test_a_release_is_made_once(console: Browsing) -> None:
    _, path = await held(console)
    browser = await opened(console, path)
    form = browser.page.form(f"{path}/release")
    fields = form.fields | {"reason": ["a family"]}
    for _ in range(2):
        page = await browser.post(form.action, fields)
        assert (page.path, "The points are released." in page.text) == (path, True)
    decisions = await rows(
        console.services.db,
        "SELECT count(*) FROM suspicion_decisions WHERE suspicion_id = :s",
        s=UUID(path.rpartition("/")[2]),
    )
    assert decisions == [(1,)]


async def test_an_approver_makes_the_second_decision_about_many_points(console: Browsing) -> None:
    members, path = await held(console, visits=True)
    first = await opened(console, path)
    page = await first.send(f"{path}/reject", reason="one person")
    assert "An approver or an administrator has to approve the rejection." in page.text
    assert [form.action for form in page.forms if form.action.startswith(path)] == [
        f"{path}/release",
        f"{path}/undo",
    ]
    second = await opened(console, path)
    sent = {"form_token": second.page.forms[0].fields["form_token"], "once": ["o"], "reason": ["yes"]}
    assert (await second.post(f"{path}/approve", sent)).status == 403, "support asks, and does not approve"
    assert (await second.post(f"{path}/reject", sent)).status == 409
    assert await states(console, members) == {"pending"}
    approver = await opened(console, path, role="approver")
    await approver.send(f"{path}/decline", reason="a school")
    assert await states(console, members) == {"pending"}
    await first.open(path)
    await first.send(f"{path}/reject", reason="no school")
    await approver.open(path)
    page = await approver.send(f"{path}/approve", reason="no school")
    assert "The points are taken back." in page.text
    assert await states(console, members) == {"reversed"}


async def test_an_approver_decides_about_nothing_that_was_not_asked_for(console: Browsing) -> None:
    members, path = await held(console)
    approver = await opened(console, path, role="approver")
    assert [form for form in approver.page.forms if form.action.startswith(path)] == []
    sent = {"form_token": approver.page.forms[0].fields["form_token"], "once": ["o"], "reason": ["no"]}
    assert (await approver.post(f"{path}/approve", sent)).status == 409
    for action in ("release", "reject", "undo"):
        assert (await approver.post(f"{path}/{action}", sent)).status == 403
    support = await opened(console, path)
    await support.send(f"{path}/reject", reason="one person")
    assert (await approver.post(f"{path}/decline", sent)).status == 409, "it is decided, not asked for"
    assert await states(console, members) == {"reversed"}


async def test_others_read_suspicions_and_decide_nothing(console: Browsing) -> None:
    members, path = await held(console)
    finance = await console.signed_in("finance")
    page = await finance.open(path)
    assert "Support or an administrator decides" in page.text
    sent = {"form_token": page.forms[0].fields["form_token"], "once": ["o"], "reason": ["no"]}
    for action in ("release", "reject", "undo"):
        assert (await finance.post(f"{path}/{action}", sent)).status == 403
    assert (await (await console.signed_in("viewer")).open(SUSPICIONS)).status == 403
    other = await console.signed_in("support", programs=["eu-mi-points"])
    assert path not in (await other.open(SUSPICIONS)).links
    assert (await other.open(path)).status == 404
    sent |= {"form_token": other.page.forms[0].fields["form_token"]}
    assert (await other.post(f"{path}/reject", sent)).status == 404
    assert await states(console, members) == {"pending"}
