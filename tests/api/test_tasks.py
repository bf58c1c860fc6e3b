"""Tasks, over HTTP: what a member can earn now, in the caller's language."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, problem
from tests.support.clock import NOON, StoppedClock
from tests.support.statements import sent_statements
from tests.support.visits import DOCUMENT
from tests.support.visits import PROGRAM as BROWSING

TASKS = "/v1/tasks"
MIDNIGHT, DECEMBER = "2026-11-21T23:00:00Z", "2026-11-30T23:00:00Z"

TRANSLATED = DOCUMENT.replace(
    'title = "browse"', 'title = "Browse"\ntitles = { fr = "Flâner", nl = "Slenteren" }'
)


async def tasks(member: Caller, language: str = "en") -> dict[str, dict[str, Any]]:
    answer = await member.get(TASKS, accept_language=language)
    assert answer.status_code == 200
    assert answer.headers["content-language"] == language
    return {task["rule"]: task for task in answer.json()["items"]}


@pytest.fixture(scope="module")
async def browsing(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        await publish(
            opened.services.db, TRANSLATED, source="browsing", operator="test", clock=opened.services.clock
        )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


async def test_a_task_has_all_that_an_app_needs_to_show_it(api: Calling) -> None:
    member = await api.joined()
    await member.post("/v1/shares", {"kind": "link", "product_id": "band"})
    assert (await tasks(member))["share_link"] == {
        "rule": "share_link",
        "campaign": None,
        "title": "Share a product link",
        "points": 10,
        "activity": "share",
        "kind": "link",
        "page": None,
        "award": "10 points",
        "limits": ["3 times a month"],
        "state": "open",
        "remaining": 2,
        "resets_at": DECEMBER,
        "why_not": None,
    }


async def test_what_was_done_says_why_not_again_in_the_callers_language_and_in_local_time(
    api: Calling,
) -> None:
    member = await api.joined()
    await member.post("/v1/fuel/taps")
    fuel = (await tasks(member))["fuel"]
    assert (fuel["state"], fuel["remaining"], fuel["resets_at"]) == ("done", 0, MIDNIGHT)
    assert fuel["why_not"]["code"] == "already_tapped"
    assert "22 November 2026 00:00" in fuel["why_not"]["text"]
    german = await tasks(member, "de")
    assert german["fuel"]["why_not"]["text"].endswith("am 22. November 2026 00:00.")
    bonus = german["fuel_streak"]
    assert (bonus["state"], bonus["why_not"]) == (
        "blocked",
        {"code": "streak_days_ahead", "text": "Es fehlen noch 6 Tage in Folge."},
    )
    assert (await tasks(member, "ru"))["registration"]["state"] == "done"


async def test_tasks_and_refusals_agree(api: Calling) -> None:
    member = await api.joined()
    link = {"kind": "link", "product_id": "band"}
    for left in (2, 1, 0):
        assert (await member.post("/v1/shares", link)).status_code == 202
        assert (await tasks(member))["share_link"]["remaining"] == left
    refused = problem(await member.post("/v1/shares", link), 409, "limit_reached")
    done = (await tasks(member))["share_link"]
    assert (done["state"], done["resets_at"]) == ("done", refused["resets_at"])
    assert done["why_not"] == {"code": "limit_reached", "text": refused["detail"]}


async def test_titles_are_in_the_callers_language_where_the_document_has_it(browsing: Calling) -> None:
    member = browsing.member_of(BROWSING, (await browsing.joined(program=BROWSING)).member_id)
    titles = {language: (await tasks(member, language))["browse"]["title"] for language in ("fr", "en", "it")}
    assert titles == {"fr": "Flâner", "en": "Browse", "it": "Browse"}
    program = (await member.get("/v1/program", accept_language="fr")).json()
    assert {rule["title"] for rule in program["rules"]} == {"Flâner", "offers", "new_pages"}
    offers = (await tasks(member))["offers"]
    assert (offers["page"], offers["state"], offers["remaining"]) == ("offers", "open", 1)
    await member.post("/v1/visits", {"page": "offers"})
    after = await tasks(member)
    assert (after["offers"]["state"], after["offers"]["remaining"]) == ("done", 0)
    assert (after["browse"]["remaining"], after["new_pages"]["remaining"]) == (2, None)


async def test_all_tasks_are_read_by_one_statement(api: Calling) -> None:
    member = await api.joined()
    await tasks(member)  # The member is in the cache from now on.
    with sent_statements(api.services.db) as sent:
        await tasks(member)
        await member.get("/v1/me")
    assert len(sent) == 2, "one for the tasks, and one for the home screen"


async def test_an_unchanged_list_is_not_sent_again(api: Calling) -> None:
    member = await api.joined()
    first = await member.get(TASKS)
    assert (await member.get(TASKS, if_none_match=first.headers["etag"])).status_code == 304
    await member.post("/v1/fuel/taps")
    assert (await member.get(TASKS, if_none_match=first.headers["etag"])).status_code == 200


async def test_there_are_no_tasks_where_nothing_is_offered_yet(browsing: Calling) -> None:
    member = browsing.member_of(BROWSING, (await browsing.joined(program=BROWSING)).member_id)
    clock = browsing.services.clock
    assert isinstance(clock, StoppedClock)
    clock.at = NOON.replace(year=2019)
    try:
        assert await tasks(member) == {}
    finally:
        clock.at = NOON


async def test_tasks_need_a_members_token(api: Calling) -> None:
    problem(await api.nobody.get(TASKS), 401, "unauthorized")
    problem(await api.shop.get(TASKS), 401, "unauthorized")
