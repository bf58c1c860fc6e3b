"""Segments in the console: the list, and uploads of members."""

from engage.flows.members.register import MemberRegistration, register_member
from tests.console.browsing import Browser, Browsing, Page
from tests.support.database import logged

EU = "eu-mi-points"
BF = "bf-mi-points"
PATH = "/console/segments"


async def join(console: Browsing, member_id: str) -> None:
    registration = MemberRegistration(
        member_id=member_id, program=EU, country="ES", person_ref=f"person of {member_id}"
    )
    await register_member(console.services, registration)


async def upload(browser: Browser, text: bytes, **typed: str) -> Page:
    """Send the form of the page with a file."""
    fields = {name: values[0] for name, values in browser.page.form(PATH).fields.items()}
    answer = await browser.client.post(PATH, data=fields | typed, files={"file": ("list.csv", text)})
    return Page(answer)


async def test_a_list_is_uploaded_once_and_lines_without_a_member_are_named(console: Browsing) -> None:
    await join(console, "m-1")
    await join(console, "m-2")
    browser = await console.signed_in("marketer", programs=[EU])
    page = await browser.open(PATH)
    assert "No segment yet" in page.text
    text = b"member_id\nm-1\nnobody\n<script>\nm-2\nm-1\n"
    page = await upload(browser, text, program=EU, segment="fans")
    assert page.status == 200
    assert "Members 2 members" in page.text
    assert "Line 3 : nobody" in page.text.replace("Line 3:", "Line 3 :")
    assert "Line 4" in page.text
    assert "<script>" not in page.html
    page = await upload(browser, text, program=EU, segment="fans")
    assert (page.path, "The list is stored." in page.text) == (PATH, True)
    assert "fans" in page.text


async def test_a_form_that_is_sent_again_with_another_file_is_refused(console: Browsing) -> None:
    """It would be taken for a repetition otherwise, and the second list be lost."""
    browser = await console.signed_in("marketer", programs=[EU])
    await join(console, "m-8")
    await join(console, "m-9")
    form = await browser.open(PATH)
    statuses = []
    for text in (b"member_id\nm-8\n", b"member_id\nm-9\n", b"member_id\nm-8\n"):
        browser.page = form
        statuses.append((await upload(browser, text, program=EU, segment="two-files")).status)
    assert statuses == [200, 422, 200]


async def test_what_is_wrong_with_an_upload_is_said_and_what_was_typed_stays(console: Browsing) -> None:
    browser = await console.signed_in("marketer", programs=[EU])
    await browser.open(PATH)
    page = await upload(browser, b"m-1\n", program=BF, segment="not an id")
    assert (page.status, "Choose a program" in page.text) == (422, True)
    assert page.form(PATH).fields["segment"] == ["not an id"]
    page = await upload(browser, b"PK\x03\x04 a spreadsheet", program=EU, segment="wide")
    assert (page.status, 'id="p-file"' in page.html) == (422, True)


async def test_segments_of_other_programs_are_not_shown(console: Browsing) -> None:
    browser = await console.signed_in("marketer", programs=[EU])
    await browser.open(PATH)
    await upload(browser, b"member_id\n", program=EU, segment="hidden-one")
    viewer = await console.signed_in("viewer", programs=[BF])
    page = await viewer.open(PATH)
    assert "hidden-one" not in page.text
    assert (await upload_status(viewer)) == 403


async def upload_status(browser: Browser) -> int:
    token = browser.page.form("/console/sign-out").fields["form_token"]
    return (await browser.post(PATH, {"form_token": token, "once": ["x"]})).status


async def test_a_segment_is_computed_by_conditions_and_changed_once(console: Browsing) -> None:
    browser, other = await console.signed_in("marketer"), await console.signed_in("marketer")
    page = await browser.open(f"{PATH}/new?program={EU}&segment=not+an+id")
    assert page.status == 422
    await browser.open(f"{PATH}/new?program={EU}&segment=sleepers")
    edit = f"{PATH}/{EU}/sleepers/edit"
    page = await browser.send(edit, title="Sleepers")
    assert (page.status, "at least one condition" in page.text) == (422, True)
    assert page.form(edit).fields["title"] == ["Sleepers"]
    page = await browser.send(edit, no_order_for="many", percent="110")
    assert (page.status, 'id="p-percent"' in page.html, 'value="many"' in page.html) == (422, True, True)
    filled = page.form(edit).fields | {"no_order_for": ["90"], "percent": [""], "countries": ["ES", "FR"]}
    for _ in range(2):
        page = await browser.post(edit, filled)
        assert (page.status, page.path) == (200, f"{PATH}/{EU}/sleepers")
    assert "The conditions are saved." in page.text
    assert "Countries ES, FR" in page.text
    assert "No order for this many days 90" in page.text
    actions = [action for _, action, _, _ in await logged(console.services.db, "segment:sleepers")]
    assert actions == ["added"]
    await other.open(edit)
    await browser.open(edit)
    await browser.send(edit, no_order_for="60")
    page = await other.send(edit, no_order_for="30")
    assert (page.status, "yours P30D , theirs P60D" in page.text) == (422, True), page.text
    page = await other.send(edit)
    assert (page.status, "No order for this many days 30" in page.text) == (200, True)


async def test_a_file_is_checked_without_a_change_and_a_list_downloaded(console: Browsing) -> None:
    for member_id in ("d-1", "d-2"):
        await join(console, member_id)
    browser = await console.signed_in("admin", programs=[EU])
    await browser.open(PATH)
    page = await upload(browser, b"d-1\nnobody\nd-2\n", program=EU, segment="checked", check="yes")
    assert (page.status, "Nothing is stored" in page.text) == (200, True)
    assert "Members 2 members" in page.text
    assert "nobody" in page.text
    assert "checked" not in (await browser.open(PATH)).text
    await upload(browser, b"d-2\nd-1\n", program=EU, segment="checked")
    page = await browser.open(f"{PATH}/{EU}/checked")
    assert "2 members" in page.text
    file = await browser.open(f"{PATH}/{EU}/checked/members.csv")
    assert file.html == "member_id\nd-1\nd-2\n"
    assert "attachment" in file.answer.headers["content-disposition"]
    page = await browser.open(f"/console/audit?subject=segment:checked&program={EU}")
    assert "checked" in page.text


async def test_lists_are_for_those_who_see_members_of_the_program(console: Browsing) -> None:
    author = await console.signed_in("marketer", programs=[EU])
    await author.open(PATH)
    await upload(author, b"member_id\n", program=EU, segment="kept")
    assert (await author.open(f"{PATH}/{EU}/kept/members.csv")).status == 403
    foreign = await console.signed_in("admin", programs=[BF])
    for path in ("kept", "kept/members.csv", "kept/edit"):
        assert (await foreign.open(f"{PATH}/{EU}/{path}")).status == 404
    viewer = await console.signed_in("viewer")
    assert (await viewer.open(f"{PATH}/{EU}/kept")).status == 200
    assert (await viewer.open(f"{PATH}/{EU}/kept/edit")).status == 403
