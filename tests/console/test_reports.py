"""Reports of finance and the health of the installation in the console."""

from engage.flows.members.adjust import AdjustmentRequest, adjust
from engage.flows.members.register import MemberRegistration, register_member
from tests.console.browsing import Browsing

EU = "eu-mi-points"
BF = "bf-mi-points"


async def join(console: Browsing, member_id: str) -> None:
    registration = MemberRegistration(
        member_id=member_id, program=EU, country="ES", person_ref=f"person of {member_id}"
    )
    await register_member(console.services, registration)


async def test_the_liability_is_shown_with_its_chart_when_it_is_asked_for(console: Browsing) -> None:
    await join(console, "m-liability")
    given = AdjustmentRequest(points=70, reason="a welcome", reference="welcome")
    await adjust(console.services, EU, "m-liability", given, operator="test")
    browser = await console.signed_in("finance", programs=[EU])
    page = await browser.open("/console/reports")
    assert "Adds up" not in page.text
    page = await browser.open("/console/reports?show=liability")
    assert ("Adds up" in page.text, "<svg" in page.html) == (True, True)
    assert "−100 0 100 points" in page.text
    assert f"{EU} · EUR" in page.text
    assert "Corrected by operators" in page.text
    table = await browser.open("/console/reports/liability.csv")
    assert table.answer.headers["content-type"].startswith("text/csv")
    assert EU in table.html
    assert BF not in table.html


async def test_a_wrong_date_is_said_at_its_field_and_stays(console: Browsing) -> None:
    browser = await console.signed_in("finance")
    page = await browser.open("/console/reports?show=liability&at=2099-01-01")
    assert (page.status, "is in the future" in page.text, 'value="2099-01-01"' in page.html) == (
        422,
        True,
        True,
    )
    page = await browser.open("/console/reports?show=liability&from=%3Cscript%3Eyesterday")
    assert (page.status, "<script>yesterday" in page.html) == (422, False)


async def test_a_past_balance_is_of_programs_of_ones_own(console: Browsing) -> None:
    await join(console, "m-balance")
    browser = await console.signed_in("finance")
    page = await browser.open("/console/reports?show=balance&member=m-balance")
    assert (page.status, "Pending" in page.text, EU in page.text) == (200, True, True)
    foreign = await console.signed_in("finance", programs=[BF])
    page = await foreign.open("/console/reports?show=balance&member=m-balance")
    assert "No program of yours" in page.text


async def test_reports_are_for_finance(console: Browsing) -> None:
    for role in ("viewer", "marketer", "approver", "support"):
        browser = await console.signed_in(role)
        assert (await browser.open("/console/reports")).status == 403
        assert (await browser.open("/console/reports/liability.csv")).status == 403


async def test_the_health_of_each_part_is_said_in_words(console: Browsing) -> None:
    browser = await console.signed_in("viewer")
    page = await browser.open("/console/health")
    assert "Some parts do not work" in page.text, "no worker runs here"
    assert "Has every point and every order. Works" in page.text
    assert "Shows new balances at once. Does not work" in page.text
