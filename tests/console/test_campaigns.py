"""Campaigns in the console: written, tried, submitted by one operator, and approved by another."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import text

from engage.domain.backtests.result import BacktestDay, BacktestResult
from engage.flows.campaigns.read import show_campaign
from engage.runtime.database import transaction
from tests.console.browsing import Browser, Browsing, Page
from tests.support.clock import NOON
from tests.support.database import rows

PROGRAM = "eu-mi-points"
BEGIN = f"{NOON + timedelta(days=9):%Y-%m-%d}T00:00"


async def begin(browser: Browser, id_: str, template: str = "members_week", title: str = "Spring") -> Page:
    """Write the draft of a template. The browser shows the editor."""
    await browser.open(f"/console/campaigns/new?program={PROGRAM}")
    return await browser.send("/console/campaigns/new", template=template, id=id_, title=title, begin=BEGIN)


def path(id_: str, section: str = "") -> str:
    return f"/console/campaigns/{id_}{section}?program={PROGRAM}"


async def state_of(console: Browsing, id_: str) -> tuple[int, str]:
    view = await show_campaign(console.services, (PROGRAM, id_), None)
    return view.version, view.state


async def test_each_template_becomes_a_draft(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    page = await browser.open(f"/console/campaigns/new?program={PROGRAM}")
    offered = [part.partition('"')[0] for part in page.html.split('name="template" value="')[1:]]
    assert len(offered) == 7
    for template in offered:
        page = await begin(browser, f"t-{template}", template)
        assert (page.status, page.path) == (200, f"/console/campaigns/t-{template}/edit"), page.text
        assert await state_of(console, f"t-{template}") == (1, "draft")
    assert "t-quiz_week" in (await browser.open(path("t-quiz_week", "/edit"))).html


async def test_a_form_that_is_sent_twice_writes_one_draft(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    page = await browser.open(f"/console/campaigns/new?program={PROGRAM}")
    fields = page.form("/console/campaigns/new").fields | {
        "template": ["draw"],
        "id": ["twice"],
        "title": ["Twice"],
        "begin": [BEGIN],
    }
    pages = [await browser.post("/console/campaigns/new", fields) for _ in range(2)]
    assert [page.path for page in pages] == ["/console/campaigns/twice/edit"] * 2
    kinds = await rows(console.services.db, "SELECT kind FROM campaign_actions WHERE campaign_id = 'twice'")
    assert kinds == [("created",)]


async def test_an_error_keeps_what_was_typed(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "typed")
    page = await begin(browser, "typed", title="Another title")
    assert (page.status, "This id is taken" in page.text) == (409, True)
    assert 'value="Another title"' in page.html

    await browser.open(path("typed", "/edit"))
    page = await browser.send("/console/campaigns/typed/edit", **{"boosts[0].multiply": "many"})
    assert page.status == 422
    assert "Multiplier (" in page.text
    assert 'value="many"' in page.html

    await browser.open(path("typed", "/edit"))
    text = browser.page.form("/console/campaigns/typed/document").fields["document"][0]
    wrong = text.replace("multiply = 2", "multiply = 2000", 1)
    page = await browser.send("/console/campaigns/typed/document", document=wrong)
    line = 1 + wrong[: wrong.index("multiply = 2000")].count("\n")
    assert f"line {line}, boosts[0].multiply" in page.text
    assert "multiply = 2000" in page.form("/console/campaigns/typed/document").fields["document"][0]


async def test_the_form_changes_its_fields_and_keeps_all_others(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "kept")
    page = await browser.send(
        "/console/campaigns/kept/edit",
        **{"audience.countries": ["ES", "FR"], "boosts[1].multiply": "3", "budget.points": "5000"},
    )
    assert "Saved" in page.text
    document = (await show_campaign(console.services, (PROGRAM, "kept"), None)).document
    assert document["audience"] == {"countries": ["ES", "FR"]}
    assert [boost["multiply"] for boost in document["boosts"]] == [2, 3]
    assert document["budget"] == {"points": 5000}
    assert document["stacking"] == {"group": "double_points", "priority": 20}


async def test_one_of_two_editors_sees_what_the_other_changed(console: Browsing) -> None:
    first, second = await console.signed_in("marketer"), await console.signed_in("marketer")
    await begin(first, "both")
    for browser in (first, second):
        await browser.open(path("both", "/edit"))
    await first.send("/console/campaigns/both/edit", title="The first title")
    page = await second.send("/console/campaigns/both/edit", title="The second title")
    assert page.status == 412
    assert "Somebody else has saved this campaign" in page.text
    assert "The first title" in page.text
    assert 'value="The second title"' in page.html
    page = await second.send("/console/campaigns/both/edit")
    assert "Saved" in page.text
    view = await show_campaign(console.services, (PROGRAM, "both"), None)
    assert view.document["title"] == {"en": "The second title"}


async def test_an_author_cannot_approve_and_another_operator_can(console: Browsing) -> None:
    author, approver = await console.signed_in("admin"), await console.signed_in("approver")
    await begin(author, "eyes")
    await author.open(path("eyes"))
    page = await author.send("/console/campaigns/eyes/act", action="submitted")
    assert "somebody else has to approve it" in page.text
    page = await author.send("/console/campaigns/eyes/act", action="approved")
    assert (page.status, "Whoever wrote a version cannot approve it" in page.text) == (403, True)
    await approver.open(path("eyes"))
    page = await approver.send("/console/campaigns/eyes/act", action="rejected", reason="")
    assert (page.status, "Say why" in page.text) == (422, True)
    page = await approver.send("/console/campaigns/eyes/act", action="rejected", reason="The title is wrong")
    assert "The title is wrong" in page.text
    await author.open(path("eyes"))
    await author.send("/console/campaigns/eyes/act", action="submitted")
    await approver.open(path("eyes"))
    page = await approver.send("/console/campaigns/eyes/act", action="approved", reason="Right for spring")
    assert "Approved" in page.text
    assert "Right for spring" in page.text
    assert await state_of(console, "eyes") == (1, "scheduled")


async def test_a_later_version_says_in_words_what_it_changes(console: Browsing) -> None:
    author, approver = await console.signed_in("marketer"), await console.signed_in("approver")
    await begin(author, "words")
    await author.open(path("words"))
    await author.send("/console/campaigns/words/act", action="submitted")
    await approver.open(path("words"))
    await approver.send("/console/campaigns/words/act", action="approved")
    page = await author.open(path("words", "/edit"))
    assert "Saving begins the next version" in page.text
    typed = {"boosts[1].multiply": "3", "budget.points": "900", "audience.countries": ["ES", "FR"]}
    await author.send("/console/campaigns/words/edit", **typed)
    page = await author.open(path("words", "/versions"))
    assert "Buy on mi.com: 2 times becomes 3 times" in page.text
    assert "Budget in points is new: 900" in page.text
    assert "Countries is new: Spain, France" in page.text


async def test_a_dry_run_says_what_is_paid_and_why_not(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "tried")
    await browser.open(path("tried", "/try"))
    page = await browser.send(
        "/console/campaigns/tried/try", activity="order", amount="199,00", country="ES", at=BEGIN
    )
    assert "398 points" in page.text
    assert "about other rules" in page.text
    early = f"{NOON:%Y-%m-%dT%H:%M}"
    page = await browser.send("/console/campaigns/tried/try", amount="199", country="ES", at=early)
    assert "199 points" in page.text
    assert "not in force at this time" in page.text
    page = await browser.send("/console/campaigns/tried/try", amount="a lot")
    assert page.status == 422
    assert 'value="a lot"' in page.html


async def test_a_draft_is_tried_beside_the_campaigns_that_run(console: Browsing) -> None:
    author, approver = await console.signed_in("marketer"), await console.signed_in("approver")
    for id_ in ("beside", "stacked"):
        await begin(author, id_)
    await author.open(path("beside"))
    await author.send("/console/campaigns/beside/act", action="submitted")
    await approver.open(path("beside"))
    await approver.send("/console/campaigns/beside/act", action="approved")
    await author.open(path("stacked", "/try"))
    page = await author.send("/console/campaigns/stacked/try", amount="100", country="ES", at=BEGIN)
    assert "beside: double_purchase" in page.text
    assert "another campaign of its group has priority" in page.text
    page = await author.send(
        "/console/campaigns/stacked/try", amount="100", country="ES", at=BEGIN, with_published=[]
    )
    assert "This campaign: Buy on mi.com × 2" in page.text
    assert "beside" not in page.text
    assert 'name="with_published" value="yes">' in page.html, "what was unticked stays so"


async def test_a_campaign_lists_its_own_backtests_page_by_page(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    for id_ in ("tested", "retested"):
        await begin(browser, id_)
        await browser.open(path(id_, "/backtests"))
        await browser.send(f"/console/campaigns/{id_}/backtests")
        await browser.send(f"{browser.page.path}/cancel")
    copies = text("""
        INSERT INTO backtests (program_id, id, campaign_id, document, from_at, until_at, created_at, operator,
                               state, ended_at)
        SELECT program_id, uuidv7(), campaign_id, document, from_at, until_at, created_at, operator, state,
               ended_at
        FROM backtests, generate_series(1, 60) WHERE campaign_id = 'retested'
    """)
    async with transaction(console.services.db) as conn:
        await conn.execute(copies)
    page = await browser.open(path("tested", "/backtests"))
    assert len(backtests_in(page)) == 1
    page, seen = await browser.open(path("retested", "/backtests")), set()
    while True:
        seen |= backtests_in(page)
        more = [link for link in page.links if "before=" in link]
        if not more:
            break
        page = await browser.open(more[0])
    assert len(seen) == 61


async def test_a_backtest_is_drawn_against_its_budget(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "drawn")
    await browser.open(path("drawn", "/edit"))
    await browser.send("/console/campaigns/drawn/edit", **{"budget.points": "900"})
    await browser.open(path("drawn", "/backtests"))
    await browser.send("/console/campaigns/drawn/backtests")
    here = browser.page.path
    day = BacktestDay(
        day=NOON.date(), activities=1, granted_points=0, would_points=450, difference_points=450
    )
    result = BacktestResult(
        activities=1,
        granted_points=0,
        would_points=450,
        difference_points=450,
        cost=None,
        costs=[],
        by_day=[day],
        gaining=1,
        losing=0,
        unchanged=0,
        most_affected=[],
        budget_hit_at=None,
        double_dipping=[],
        grantable_points=0,
        tried="window",
    )
    done = text("UPDATE backtests SET state = 'done', ended_at = created_at, result = :result WHERE id = :id")
    async with transaction(console.services.db) as conn:
        await conn.execute(
            done, {"result": msgspec.json.encode(result).decode(), "id": UUID(here.rpartition("/")[2])}
        )
    page = await browser.open(f"{here}?program={PROGRAM}")
    assert "below the line of the budget of 900 points" in page.text
    assert 'class="limit" x1="0" y1="8.0"' in page.html


def backtests_in(page: Page) -> set[str]:
    """The addresses of the backtests in the list of a page."""
    return {link for link in page.links if "/backtests/" in link}


async def test_a_backtest_starts_once_and_can_be_cancelled(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "past")
    page = await browser.open(path("past", "/backtests"))
    fields = page.form("/console/campaigns/past/backtests").fields
    pages = [await browser.post(path("past", "/backtests"), fields) for _ in range(2)]
    assert pages[0].path == pages[1].path
    assert "Running" in pages[0].text
    page = await browser.send(f"{pages[0].path}/cancel")
    assert "The backtest is cancelled" in page.text
    page = await browser.post(
        path("past", "/backtests"), fields | {"once": ["another"], "until": ["2099-01-01T00:00"]}
    )
    assert page.status == 422
    assert "until" in page.text


async def test_roles_see_only_what_they_may_do(console: Browsing) -> None:
    marketer, viewer = await console.signed_in("marketer"), await console.signed_in("viewer")
    await begin(marketer, "roles")
    page = await viewer.open(path("roles"))
    assert page.status == 200
    assert "/console/campaigns/roles/act" not in [form.action.partition("?")[0] for form in page.forms]
    for closed in (path("roles", "/edit"), "/console/campaigns/new"):
        assert (await viewer.open(closed)).status == 403
    token = (await viewer.open(path("roles"))).form("/console/sign-out").fields["form_token"]
    fields = {"form_token": token, "once": ["1"], "action": ["submitted"]}
    assert (await viewer.post(path("roles", "/act"), fields)).status == 403
    assert await state_of(console, "roles") == (1, "draft")
    page = await marketer.open(path("roles"))
    fields |= {"form_token": page.form("/console/sign-out").fields["form_token"], "action": ["approved"]}
    assert (await marketer.post(path("roles", "/act"), fields)).status == 403


async def test_campaigns_of_other_programs_are_not_there(console: Browsing) -> None:
    marketer = await console.signed_in("marketer")
    await begin(marketer, "elsewhere")
    other = await console.signed_in("admin", programs=["in-mi-tokens"])
    for section in ("", "/edit", "/versions", "/try", "/backtests", "/report"):
        assert (await other.open(path("elsewhere", section))).status == 404
    assert "elsewhere" not in (await other.open("/console/campaigns?search=elsewhere")).text
    assert (await other.open("/console/campaigns/new?program=eu-mi-points")).status == 404
    page = await other.open("/console/campaigns/new")
    assert page.form("/console/campaigns/new").fields["program"] == ["in-mi-tokens"]


async def test_stored_markup_is_text(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "markup", title="<script>alert(1)</script>")
    for page_path in (path("markup"), path("markup", "/edit"), "/console/campaigns?search=markup"):
        page = await browser.open(page_path)
        assert "<script>alert" not in page.html
        assert "&lt;script&gt;alert" in page.html


async def test_the_calendar_shows_the_campaigns_of_a_month(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "calendar", title="In the calendar")
    page = await browser.open(f"/console/campaigns?month={BEGIN[:7]}")
    calendar = page.html.split('class="calendar"')[1].split("</table>")[0]
    assert "In the calendar" in calendar
    page = await browser.open("/console/campaigns?month=2001-01&search=calendar")
    assert "Nothing runs in this month" in page.text
    assert "In the calendar" in page.text
    page = await browser.open("/console/campaigns?search=no-such-thing")
    assert "Nothing found" in page.text


async def test_the_calendar_names_campaigns_that_run_at_once(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    for id_, title in (("meets", "One that meets"), ("met", "One that is met")):
        await browser.open(f"/console/campaigns/new?program={PROGRAM}")
        await browser.send(
            "/console/campaigns/new", template="members_week", id=id_, title=title, begin="2031-03-10T00:00"
        )
    page = await browser.open("/console/campaigns?month=2031-03")
    assert "1 pair of campaigns runs at the same time" in page.text, page.text
    assert f"({PROGRAM}): 10 Mar 2031 – " in page.text
    assert "at the same time" not in (await browser.open("/console/campaigns?month=2031-05")).text


async def test_the_report_shows_when_a_budget_ran_low(console: Browsing) -> None:
    author, approver = await console.signed_in("marketer"), await console.signed_in("approver")
    await begin(author, "low")
    await author.open(path("low", "/edit"))
    await author.send("/console/campaigns/low/edit", **{"budget.points": "900"})
    await author.open(path("low"))
    await author.send("/console/campaigns/low/act", action="submitted")
    await approver.open(path("low"))
    await approver.send("/console/campaigns/low/act", action="approved")
    assert "were used on" not in (await author.open(path("low", "/report"))).text
    reached = text("""
        INSERT INTO campaign_alerts (program_id, campaign_id, of, percent, total, at)
        VALUES (:program, 'low', 'points', 80, 900, :at)
    """)
    async with transaction(console.services.db) as conn:
        await conn.execute(reached, {"program": PROGRAM, "at": NOON})
    page = await author.open(path("low", "/report"))
    assert "80 % of 900 points were used on" in page.text


async def test_a_copy_begins_when_it_is_wanted(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "original")
    await browser.open(path("original"))
    page = await browser.send("/console/campaigns/original/copy", new_id="copy", begin="2027-05-03T00:00")
    assert page.path == "/console/campaigns/copy/edit"
    document = (await show_campaign(console.services, (PROGRAM, "copy"), None)).document
    assert (document["from"], document["until"]) == ("2027-05-03T00:00:00", "2027-05-08T00:00:00")


@pytest.mark.parametrize(
    ("new_id", "first_day"),
    [
        ("", "2027-05-03T00:00"),
        ("copied", ""),
        ("copied", "tomorrow"),
        ("copied", "9999-12-31T23:59"),
        ("<script>alert(1)</script>", "2027-05-03T00:00"),
        ("é😀" * 100, "2027-05-03T00:00"),
        ("backtests", "2027-05-03T00:00"),
        ("original", "2027-05-03T00:00"),
    ],
)
async def test_a_copy_that_is_not_possible_is_a_mistake_of_its_field(
    console: Browsing, new_id: str, first_day: str
) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "original")
    await browser.open(path("original"))
    page = await browser.send("/console/campaigns/original/copy", new_id=new_id, begin=first_day)
    assert page.status == 422
    assert 'aria-invalid="true"' in page.html
    assert "<script>alert" not in page.html
    assert not await rows(console.services.db, "SELECT 1 FROM campaign_versions WHERE campaign_id = 'copied'")


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity", "1e999999", "1e30", "much"])
async def test_an_amount_that_is_none_is_a_mistake_of_its_field(console: Browsing, amount: str) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "original")
    await browser.open(path("original", "/try"))
    page = await browser.send("/console/campaigns/original/try", activity="order", amount=amount)
    assert page.status == 422
    assert "Please give an amount of money" in page.text


@pytest.mark.parametrize("section", ["", "/edit", "/versions", "/try", "/backtests", "/report"])
async def test_an_id_that_no_campaign_has_is_not_found(console: Browsing, section: str) -> None:
    browser = await console.signed_in("marketer")
    for campaign_id in ("%00", "%ff", "x" * 5000, "nobody"):
        assert (await browser.open(f"/console/campaigns/{campaign_id}{section}")).status == 404


async def test_granted_points_are_added_up_when_somebody_asks(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    await begin(browser, "granting")
    page = await browser.open("/console/campaigns?search=granting")
    assert "Granted" not in page.text
    (link,) = [link for link in page.links if link.endswith("&granted=yes")]
    page = await browser.open(f"/console/campaigns{link}")
    assert "Granted" in page.text
    assert "0 points" in page.text
