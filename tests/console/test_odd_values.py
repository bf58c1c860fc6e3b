"""Addresses and fields with values that nothing has are answered, never with an internal error."""

from collections.abc import Sequence

from tests.console.browsing import Browsing
from tests.console.routes import ConsoleRoute, console_routes
from tests.support.database import rows

# What pages read from their query, but the program: one that there is not has no page.
NAMES = [
    *("after", "at", "before", "cursor", "days", "from", "granted", "holdout", "id", "kind", "language"),
    *("member", "month", "next", "operator", "page", "place", "search", "segment", "show", "state"),
    *("subject", "template", "until", "version", "which", "winners"),
]

ODD = [
    *("", "-1", "0", "1.5", "NaN", "-inf", "9" * 30, "-" + "9" * 30, "٥"),
    *("%00", "%ff", "%ed%a0%80", "%0a", "é😀" * 60, "x" * 400, "<script>", "../..", "%2e%2e"),
    *("9999-12", "0001-01", "2026-13", "9999-12-31", "0001-01-01", "2026-02-30", "9999-12-31T23:59:59Z"),
    *("yes", "all", "liability", "balance", "9/eu-mi-points/x", "9" * 30 + "/eu-mi-points/x"),
]


def read(console: Browsing) -> Sequence[ConsoleRoute]:
    routes = [route for route in console_routes(console.app) if route.method == "GET"]
    assert len(routes) > 30
    return routes


async def test_an_id_with_nul_is_not_found_on_any_page(console: Browsing) -> None:
    browser = await console.signed_in("admin")
    with_ids = [route for route in read(console) if "nothing" in route.address]
    assert len(with_ids) > 20
    for route in with_ids:
        page = await browser.open(route.address.replace("nothing", "%00x"))
        assert page.status == 404, route.path


async def test_no_page_fails_for_an_odd_query(console: Browsing) -> None:
    browser = await console.signed_in("admin")
    lists = [route.address for route in read(console) if "nothing" not in route.address]
    assert len(lists) > 15
    for value in ODD:
        query = "&".join(f"{name}={value}" for name in NAMES)
        for address in (*(f"{each}?{query}" for each in lists), f"/console/reports?{query}&show=liability"):
            page = await browser.open(address)
            assert page.status < 500, address
    for each in lists:
        assert (await browser.open(f"{each}?program=no-such")).status in (200, 404), each


async def test_nul_in_a_field_is_left_out(console: Browsing) -> None:
    browser = await console.signed_in("marketer")
    await browser.open("/console/campaigns/new?program=eu-mi-points")
    page = await browser.send(
        "/console/campaigns/new",
        template="members_week",
        id="with\0out",
        title="No\0thing",
        begin="2027-05-03T00:00",
    )
    assert page.path == "/console/campaigns/without/edit"
    assert "Nothing" in page.text


async def test_a_table_of_an_odd_time_leads_to_the_mistake(console: Browsing) -> None:
    browser = await console.signed_in("finance")
    page = await browser.open("/console/reports/liability.csv?at=someday")
    assert (page.path, page.status) == ("/console/reports", 422)
    assert 'value="someday"' in page.html


async def test_a_choice_that_is_none_chooses_nothing_else(console: Browsing) -> None:
    browser = await console.signed_in("admin")
    await browser.open("/console/campaigns/new")
    page = await browser.send(
        "/console/campaigns/new",
        program="no-such",
        template="members_week",
        id="elsewhere",
        title="Elsewhere",
        begin="2027-05-03T00:00",
    )
    assert page.status == 404
    await browser.open("/console/keys/new")
    page = await browser.send("/console/keys", name="odd", scope="NaN", programs="*")
    assert page.status == 400
    db = console.services.db
    assert not await rows(db, "SELECT 1 FROM campaign_versions WHERE campaign_id = 'elsewhere'")
    assert not await rows(db, "SELECT 1 FROM api_keys WHERE name = 'odd'")
    assert (await browser.open("/console/reports?show=liability&program=no-such")).status == 404
