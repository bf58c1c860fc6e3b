"""Rewards, quizzes and draws in the console."""

from collections.abc import AsyncIterator

import pytest

from engage.domain.refusals import Refusal
from engage.domain.rewards.definition import AnyReward
from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.console.browsing import Browser, Browsing, browsing
from tests.support.clock import NOON, StoppedClock
from tests.support.database import logged, rows
from tests.support.draws import PROGRAM, ROUND_AT, advance_to, document, entered, join

DEMO = "demo-store"
EU = "eu-mi-points"


@pytest.fixture(scope="module")
async def lottery(installed: Settings) -> AsyncIterator[Browsing]:
    """The console of an installation that also has a program with draws, which nobody else uses."""
    async with browsing(installed, StoppedClock(NOON)) as opened:
        services = opened.services
        await publish(
            services.db, document(), source="", operator="test", clock=services.clock, past_allowed=True
        )
        await services.programs.refresh(services.db)
        yield opened


def typed(browser: Browser) -> str:
    """The document as the editor shows it."""
    form = next(form for form in browser.page.forms if "document" in form.fields)
    return form.fields["document"][0].strip()


async def test_rewards_are_listed_with_what_is_left(console: Browsing) -> None:
    browser = await console.signed_in("viewer", programs=[DEMO])
    page = await browser.open("/console/rewards")
    assert "no limit" in page.text
    assert "Offered" in page.text
    assert EU not in page.text
    assert "Void a code" not in page.text
    assert (await browser.post("/console/rewards/void", {"program": [DEMO]})).status == 403


async def test_a_code_that_does_not_exist_is_not_voided(console: Browsing) -> None:
    browser = await console.signed_in("support", programs=[DEMO])
    await browser.open("/console/rewards")
    for program in (DEMO, EU):
        page = await browser.send("/console/rewards/void", program=program, code="<script>ABCD")
        assert page.status == 404
        assert page.form("/console/rewards/void").fields["code"] == ["<script>ABCD"]
        assert "<script>ABCD" not in page.html


async def test_a_quiz_is_written_with_a_preview_and_changed_once(console: Browsing) -> None:
    browser = await console.signed_in("marketer", programs=[DEMO])
    await browser.open("/console/quizzes/new")
    text = typed(browser).replace("spring-quiz", "winter-quiz")
    page = await browser.send("/console/quizzes/new", document=text, preview="yes")
    assert (page.status, "Up to 5 points" in page.text) == (200, True)
    assert "As a member sees it" in page.text
    assert typed(browser) == text
    page = await browser.send("/console/quizzes/new", document=text.replace("count = 1", "count = 0"))
    assert (page.status, "Line 4, attempts.count" in page.text) == (422, True)
    assert "count = 0" in typed(browser)
    form = page.form("/console/quizzes/new")
    for _ in range(2):
        page = await browser.post("/console/quizzes/new", form.fields | {"document": [text]})
        assert (page.status, page.path) == (200, f"/console/quizzes/{DEMO}/winter-quiz")
    assert "It is saved" in page.text
    assert [action for _, action, _, _ in await logged(console.services.db, "quiz:winter-quiz")] == ["added"]


async def test_two_who_change_a_quiz_at_once_see_what_the_other_changed(console: Browsing) -> None:
    first, second = await console.signed_in("marketer"), await console.signed_in("marketer")
    await first.open("/console/quizzes/new")
    text = typed(first).replace("spring-quiz", "both-quiz").replace(f'"{EU}"', f'"{DEMO}"')
    text = text.replace('program = "bf-mi-points"', f'program = "{DEMO}"')
    await first.send("/console/quizzes/new", document=text)
    path = f"/console/quizzes/{DEMO}/both-quiz/edit"
    await first.open(path)
    await second.open(path)
    await first.send(path, document=typed(first).replace("points_per_right = 5", "points_per_right = 7"))
    mine = typed(second).replace("points_per_right = 5", "points_per_right = 9")
    page = await second.send(path, document=mine)
    assert page.status == 422
    assert "points_per_right : yours 9 , theirs 7" in page.text
    assert typed(second) == mine
    page = await second.send(path)
    assert (page.status, "It is saved" in page.text) == (200, True)
    page = await second.open(path)
    page = await second.send(path, document=mine.replace("both-quiz", "another"))
    assert (page.status, "which is being changed" in page.text) == (422, True)


async def test_a_definition_is_written_for_programs_of_ones_own_only(console: Browsing) -> None:
    browser = await console.signed_in("marketer", programs=[DEMO])
    await browser.open("/console/draws/new")
    text = typed(browser).replace(DEMO, EU)
    page = await browser.send("/console/draws/new", document=text)
    assert (page.status, "Line 2, program" in page.text) == (422, True)
    assert (await browser.open(f"/console/draws/{EU}/spring-draw")).status == 404
    assert (await browser.open(f"/console/quizzes/{EU}/lights/edit")).status == 404
    assert (await browser.open(f"/console/quizzes/{DEMO}/lights/edit")).status == 404, "of the document"
    page = await browser.open(f"/console/quizzes/{DEMO}/lights")
    assert "part of version" in page.text
    assert "Put the colours of a rainbow in order" in page.text
    viewer = await console.signed_in("viewer")
    assert (await viewer.open("/console/quizzes/new")).status == 403


async def test_a_draw_shows_entries_and_winners_and_gives_its_certificate(lottery: Browsing) -> None:
    services = lottery.services
    support, viewer = await lottery.signed_in("support"), await lottery.signed_in("viewer")
    foreign = await lottery.signed_in("admin", programs=[EU])
    path = f"/console/draws/{PROGRAM}/plain"
    page = await support.open(path)
    assert "Nobody has entered yet" in page.text
    await join(services, "m-1", "m-2", "m-3")
    for member_id in ("m-1", "m-2", "m-3"):
        assert not isinstance(await entered(services, member_id), Refusal)
    page = await support.open("/console/draws")
    assert "3 entries" in page.text
    page = await support.open(path)
    assert ("Open" in page.text, "m-2" in page.text, f"{path}/certificate" in page.links) == (
        True,
        True,
        False,
    )
    assert (await support.open(f"{path}/certificate")).status == 404
    page = await viewer.open(path)
    assert ("3 entries" in page.text, "m-2" in page.text) == (True, False)
    await advance_to(services, ROUND_AT)
    page = await support.open(path)
    assert "Drawn" in page.text
    assert "2 prizes of 500 points each" in page.text
    page = await support.open(f"{path}?winners=yes")
    assert sum(member_id in page.text for member_id in ("m-1", "m-2", "m-3")) == 2
    certificate = await viewer.open(f"{path}/certificate")
    assert certificate.answer.json()["draw_id"] == "plain"
    assert "m-2" not in certificate.html
    assert (await foreign.open(path)).status == 404
    assert (await foreign.open(f"{path}/certificate")).status == 404


async def test_stock_changes_by_the_next_version_after_a_preview_once(console: Browsing) -> None:
    browser, other = await console.signed_in("admin"), await console.signed_in("admin")
    page = await browser.open(f"/console/rewards?program={EU}")
    path = next(link for link in page.links if link.endswith("/terms"))
    reward = next(each for each in newest_rewards(console, path) if each.stock is None and not each.suspended)
    page = await browser.open(path)
    page = await browser.send(path, **{f"stock.{reward.id}": "many"})
    assert (page.status, "Use a whole number" in page.text) == (422, True)
    page = await browser.send(path, **{f"stock.{reward.id}": "9999999999"})
    assert (page.status, "from 0 to 1000000000" in page.text) == (422, True), page.text
    page = await browser.send(path, **{f"stock.{reward.id}": ""})
    assert (page.status, "those of before" in page.text) == (422, True)
    page = await browser.send(path, **{f"stock.{reward.id}": "250", "suspended": reward.id})
    assert (page.status, "250 pieces, suspended" in page.text) == (200, True)
    assert "It begins on" in page.text
    shown = next(form for form in page.forms if "reason" in form.fields).fields | {"publish": ["yes"]}
    page = await browser.post(path, shown)
    assert (page.status, "Give a reason" in page.text) == (422, True)
    shown |= {"reason": ["<script>Sold</script> out"]}
    for _ in range(2):
        page = await browser.post(path, shown)
        assert (page.status, "The next version is published" in page.text) == (200, True), page.text
    assert "250 pieces" in page.text
    query = "SELECT count(*) FROM audit_log WHERE reason = :reason"
    assert await rows(console.services.db, query, reason="<script>Sold</script> out") == [(1,)]
    await other.open(path)
    page = await other.post(path, shown | {"form_token": other_token(other), "once": ["another"]})
    assert (page.status, "Nothing was published" in page.text) == (422, True), page.text
    assert "<script>Sold" not in page.html
    assert await rows(console.services.db, query, reason="<script>Sold</script> out") == [(1,)]


async def test_stock_is_changed_by_administrators_of_the_program_only(console: Browsing) -> None:
    marketer, foreign = await console.signed_in("marketer"), await console.signed_in("admin", programs=[DEMO])
    path = f"/console/rewards/{EU}/2022/terms"
    assert (await marketer.open(path)).status == 403
    assert (await foreign.open(path)).status == 404
    await foreign.open("/console/rewards")
    assert (await foreign.post(path, {"form_token": other_token(foreign)})).status == 404


def newest_rewards(console: Browsing, path: str) -> list[AnyReward]:
    """The rewards of the version that a form is about."""
    program_id, version = path.split("/")[3:5]
    versions = console.services.programs.versions(program_id)
    return next(known.rewards for known in versions if known.version == version)


def other_token(browser: Browser) -> list[str]:
    """The token of the session of a window."""
    return next(form.fields["form_token"] for form in browser.page.forms if "form_token" in form.fields)
