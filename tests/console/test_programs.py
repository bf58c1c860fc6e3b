"""Programs in the console: versions in words and compared, and the publication of a new one."""

from engage.domain.document.difference import by_ids
from engage.domain.document.lines import line_of
from engage.flows.programs.read import list_versions, read_document
from tests.console.browsing import Browsing
from tests.support.database import logged

EU = "eu-mi-points"
HU = "hu-mi-points"

DOCUMENT = """
id = "a-new-one"
title = "A <script>new</script> one"

[[rules]]
id = "one"

[[rules]]
id = "two"  # With a remark.
award = { type = "fixed", points = 5 }

[countries.ES]
zone = "Europe/Madrid"
"""


async def newest_document(console: Browsing, program_id: str) -> str:
    newest = list_versions(console.services, program_id)[-1].version
    return (await read_document(console.services, program_id, newest)).document


async def test_programs_are_listed_with_the_versions_in_force(console: Browsing) -> None:
    browser = await console.signed_in("viewer", programs=[EU])
    page = await browser.open("/console/programs")
    assert EU in page.text
    assert HU not in page.text
    assert f"/console/programs/{EU}/versions/2022" in page.links
    assert (await browser.open(f"/console/programs/{HU}")).status == 404
    assert (await browser.open(f"/console/programs/{HU}/versions/2022")).status == 404
    assert (await browser.open(f"/console/programs/{HU}/differences")).status == 404
    assert (await browser.open("/console/programs/publish")).status == 403


async def test_a_version_is_shown_in_words_and_as_it_was_published(console: Browsing) -> None:
    browser = await console.signed_in("viewer")
    await browser.open(f"/console/programs/{EU}")
    page = await browser.open(f"/console/programs/{EU}/versions/2022")
    assert "from midnight in each country" in page.text
    assert "Europe/Madrid" in page.text
    assert "in_force_from = 2022" in page.text
    assert (await browser.open(f"/console/programs/{EU}/versions/1999")).status == 404


async def test_two_versions_are_compared_in_words_and_by_field(console: Browsing) -> None:
    browser = await console.signed_in("viewer")
    page = await browser.open(f"/console/programs/{EU}/differences?before=2020&after=2022")
    words, _, fields = page.text.partition("Field by field")
    assert "In force from 4 May 2020" in words.partition("New")[0]
    assert "In force from 1 September 2022" in words.partition("New")[2]
    assert "in_force_from" in fields
    assert "rules[" not in fields, "rules are compared by their ids"
    page = await browser.open(f"/console/programs/{EU}/differences?before=2022&after=2022")
    assert "have the same rules" in page.text


async def test_mistakes_stand_at_their_lines_and_what_was_typed_stays(console: Browsing) -> None:
    browser = await console.signed_in("admin")
    await browser.open("/console/programs/publish")
    page = await browser.send("/console/programs/publish", document=DOCUMENT)
    assert page.status == 422
    assert "Line 7, rules[1]" in page.text, page.text
    assert page.form("/console/programs/publish").fields["document"][0].strip() == DOCUMENT.strip()
    assert "<script>new" not in page.html
    page = await browser.send("/console/programs/publish", document='id = \ntitle = "x"')
    assert (page.status, "Line 1" in page.text) == (422, True)


async def test_a_version_is_published_once(console: Browsing) -> None:
    browser = await console.signed_in("admin")
    page = await browser.open(f"/console/programs/publish?program={HU}")
    form = page.form("/console/programs/publish")
    text = form.fields["document"][0]
    assert text.strip() == (await newest_document(console, HU)).strip()
    changed = text.partition("[[examples]]")[0].replace('version = "', 'version = "next-', 1)
    first_day = changed.partition("in_force_from = ")[2][:10]
    changed = changed.replace(f"in_force_from = {first_day}", "in_force_from = 2027-03-01", 1)
    page = await browser.post(
        "/console/programs/publish", form.fields | {"document": [text.replace("title", "titel", 1)]}
    )
    assert (page.status, "titel" in page.text) == (422, True)
    fields = form.fields | {"document": [changed], "once": ["publish-once"]}
    for _ in range(2):
        page = await browser.post("/console/programs/publish", fields)
        assert (page.status, page.path) == (200, f"/console/programs/{HU}")
        assert "The version is published" in page.text
    assert "next-" in page.text
    entries = await logged(console.services.db, f"program:{HU}")
    assert [str(by).startswith("admin-") for by, _, _, _ in entries].count(True) == 1
    page = await browser.open(f"/console/programs/publish?program={HU}")
    again = changed.replace("in_force_from = 2027-03-01", "in_force_from = 2027-04-01")
    page = await browser.send("/console/programs/publish", document=again)
    assert page.status == 422
    assert page.form("/console/programs/publish").fields["document"][0].strip() == again.strip()


async def test_an_administrator_publishes_only_programs_of_theirs(console: Browsing) -> None:
    browser = await console.signed_in("admin", programs=[EU])
    assert (await browser.open(f"/console/programs/publish?program={HU}")).status == 404
    await browser.open("/console/programs/publish")
    page = await browser.send("/console/programs/publish", document=await newest_document(console, HU))
    assert (page.status, "not for the program" in page.text) == (422, True)


def test_a_mistake_is_at_the_line_of_its_field_or_of_the_table_around_it() -> None:
    assert line_of(DOCUMENT, "rules[1].award.points") == 10
    assert line_of(DOCUMENT, "rules[0].award") == 5
    assert line_of(DOCUMENT, "countries.ES.zone") == 13
    assert line_of(DOCUMENT, "line 4, column 2") == 4
    assert line_of(DOCUMENT, "nothing.like.this") is None


def test_tables_are_compared_by_their_ids() -> None:
    rules = [{"id": "b", "n": [1, 2]}, {"id": "a", "steps": [{"id": "x"}]}]
    assert by_ids({"rules": rules, "plain": [1], "none": []}) == {
        "rules": {"b": {"id": "b", "n": [1, 2]}, "a": {"id": "a", "steps": {"x": {"id": "x"}}}},
        "plain": [1],
        "none": [],
    }
