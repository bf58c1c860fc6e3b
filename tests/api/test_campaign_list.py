"""The list of campaigns: by program, state and time, page by page."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from typing import Any
from urllib.parse import urlencode

import pytest

from engage.settings import Settings
from tests.api.calling import PROGRAM, Calling, calling, fields, problem
from tests.api.test_campaigns import CAMPAIGNS, OTHER, act, document, put
from tests.support.clock import NOON, StoppedClock, advance

_numbers = count(1)


@pytest.fixture
async def api(installed: Settings) -> AsyncIterator[Calling]:
    """An open API whose clock stands at NOON."""
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened


async def add(api: Calling, *actions: str, **changes: Any) -> str:
    """The id of a new campaign after these actions."""
    sent = document(id=f"listed-{next(_numbers)}", **changes)
    assert (await api.operator.post(CAMPAIGNS, sent)).status_code == 201
    for action in actions:
        caller = api.approver if action in ("approve", "reject") else api.operator
        await act(caller, f"{CAMPAIGNS}/{sent['id']}", action)
    found: str = sent["id"]
    return found


async def listed(api: Calling, **query: Any) -> list[dict[str, Any]]:
    answer = await api.approver.get(f"{CAMPAIGNS}?{urlencode({'limit': 100} | query)}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["next_cursor"] is None
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def ids(api: Calling, **query: Any) -> set[str]:
    return {item["id"] for item in await listed(api, **query)}


async def test_an_item_has_what_an_operator_looks_for(api: Calling) -> None:
    id_ = await add(api, "submit", "approve", zone="Europe/Madrid", budget={"points": 1_000})
    found = [item for item in await listed(api) if item["id"] == id_]
    assert found == [
        {
            "id": id_,
            "program": PROGRAM,
            "title": {"en": "Spring"},
            "state": "running",
            "version": 1,
            "from": "2026-11-21T12:00:00",
            "until": "2026-12-01T12:00:00",
            "zone": "Europe/Madrid",
            "newest_version": 1,
            "newest_state": "running",
            "points_granted": 0,
            "budget_left": 1_000,
        }
    ]


async def test_points_granted_are_those_of_the_campaign_without_what_was_taken_back(api: Calling) -> None:
    id_ = await add(api, "submit", "approve", budget={"points": 1_000})
    unlimited = await add(api, "submit", "approve")
    advance(api.services, timedelta(minutes=1))
    member = await api.joined()
    for number in (1, 2):
        review = {"product_id": f"p-{number}", "review_id": f"{id_}-{number}"}
        assert (await member.post("/v1/reviews", review)).status_code == 202
    removal = api.event("review.removed", member, review_id=f"{id_}-2")
    assert (await api.shop.post("/v1/shop/events", [removal])).json()["refused"] == []
    found = {item["id"]: item for item in await listed(api)}
    assert (found[id_]["points_granted"], found[unlimited]["points_granted"]) == (20, 20)
    assert found[unlimited]["budget_left"] is None


async def test_campaigns_are_chosen_by_program_and_state(api: Calling) -> None:
    ends: dict[str, Any] = {"boosts": []}
    by_state = {
        "draft": await add(api),
        "submitted": await add(api, "submit"),
        "scheduled": await add(api, "submit", "approve", **{"from": "2026-11-25T00:00:00"}),
        "running": await add(api, "submit", "approve"),
        "paused": await add(api, "submit", "approve", "pause"),
        "ended": await add(api, "submit", "approve", "end"),
    }
    of_other = await add(api, program=OTHER, **ends)
    for state, id_ in by_state.items():
        found = await ids(api, state=state, program=PROGRAM)
        assert found & {*by_state.values(), of_other} == {id_}, state
    assert of_other in await ids(api, program=OTHER)
    assert not set(by_state.values()) & await ids(api, program=OTHER)
    assert {*by_state.values(), of_other} <= await ids(api)


async def test_a_campaign_with_two_versions_is_found_by_either_state(api: Calling) -> None:
    id_ = await add(api, "submit", "approve")
    await put(api, f"{CAMPAIGNS}/{id_}", title={"en": "More"})
    for query, version, title in (
        ({}, 1, "Spring"),
        ({"state": "running"}, 1, "Spring"),
        ({"state": "draft"}, 2, "More"),
    ):
        (item,) = [item for item in await listed(api, **query) if item["id"] == id_]
        assert (item["version"], item["title"]) == (version, {"en": title})
        assert (item["newest_version"], item["newest_state"]) == (2, "draft")
    assert id_ not in await ids(api, state="ended")


async def test_what_was_approved_and_what_was_rejected_is_found(api: Calling) -> None:
    later = {"from": "2026-11-25T00:00:00"}
    draft = await add(api)
    submitted = await add(api, "submit")
    rejected = await add(api, "submit", "reject")
    mended = await add(api, "submit", "reject")
    await put(api, f"{CAMPAIGNS}/{mended}", title={"en": "Mended"})
    withdrawn = await add(api, "submit", "reject", "end")
    approved = {
        await add(api, "submit", "approve", **later),
        await add(api, "submit", "approve"),
        await add(api, "submit", "approve", "pause"),
    }
    ended = await add(api, "submit", "approve", "end")
    both = await add(api, "submit", "approve")
    await put(api, f"{CAMPAIGNS}/{both}", title={"en": "Next"})
    await act(api.operator, f"{CAMPAIGNS}/{both}", "submit")
    await act(api.approver, f"{CAMPAIGNS}/{both}", "reject")
    mine = {draft, submitted, rejected, mended, withdrawn, *approved, ended, both}
    assert await ids(api, state="approved") & mine == approved | {both}
    assert await ids(api, state="rejected") & mine == {rejected, both}
    assert await ids(api, state="ended") & mine == {withdrawn, ended}
    (item,) = [item for item in await listed(api, state="rejected") if item["id"] == both]
    assert (item["version"], item["state"]) == (2, "draft")


async def test_local_times_are_compared_with_those_of_the_documents(api: Calling) -> None:
    times = {"from": "2027-05-01T00:00:00", "until": "2027-06-01T00:00:00"}
    india = await add(api, zone="Asia/Kolkata", **times)
    spain = await add(api, zone="Europe/Madrid", **times)

    async def found(**query: str) -> set[str]:
        return await ids(api, **query) & {india, spain}

    both, neither = {india, spain}, set[str]()
    assert await found(**{"from": "2027-05-31T23:59:59"}) == both
    assert await found(**{"from": "2027-06-01T00:00:00"}) == neither
    assert await found(until="2027-05-01T00:00:01") == both
    assert await found(until="2027-05-01T00:00:00") == neither
    # As instants they differ by three and a half hours.
    assert await found(**{"from": "2027-05-31T20:00:00Z"}) == {spain}
    assert await found(**{"from": "2027-05-31T20:00:00+05:30"}) == both


async def test_campaigns_are_chosen_by_time(api: Calling) -> None:
    """In the time of the countries that a campaign is for."""
    january = {"from": "2027-01-01T00:00:00", "until": "2027-02-01T00:00:00"}
    spain = await add(api, audience={"countries": ["ES"]}, **january)
    everywhere = await add(api, **january)

    async def found(**query: str) -> set[str]:
        return await ids(api, **query) & {spain, everywhere}

    both = {spain, everywhere}
    neither: set[str] = set()
    assert await found(**{"from": "2027-01-15"}) == both
    assert await found(**{"from": "2027-02-01"}) == neither
    # Spain's January ends at 23:00 UTC, that of the United Kingdom at midnight.
    assert await found(**{"from": "2027-01-31T23:00:00Z"}) == {everywhere}
    assert await found(**{"from": "2027-01-31T22:59:59Z"}) == both
    assert await found(until="2026-12-31") == both
    assert await found(until="2026-12-31T23:00:00Z") == neither
    assert await found(until="2026-12-31T23:00:01Z") == both
    assert await found(**{"from": "2026-01-01", "until": "2026-12-30"}) == neither


async def test_pages_have_each_campaign_once_the_latest_first(api: Calling) -> None:
    added = [
        await add(api, **{"from": f"2027-03-{day:02}T00:00:00", "until": "2027-04-01T00:00:00"})
        for day in (3, 1, 2, 3, 1)
    ]
    pages, cursor = [], ""
    while True:
        query = urlencode({"limit": 2, "from": "2027-03-31", "cursor": cursor})
        answer = (await api.operator.get(f"{CAMPAIGNS}?{query}")).json()
        assert len(answer["items"]) <= 2
        pages += [item["id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert [id_ for id_ in pages if id_ in added] == [added[n] for n in (0, 3, 2, 1, 4)]
    assert len(pages) == len(set(pages))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=over", "state"),
        ("from=yesterday", "from"),
        ("until=2027-02-30", "until"),
        ("from=1999-01-01", "from"),
        ("cursor=x", "cursor"),
        ("cursor=YWJj", "cursor"),
        ("limit=0", "limit"),
        ("page=2", "page"),
    ],
)
async def test_a_wrong_parameter_is_named(api: Calling, query: str, field: str) -> None:
    assert fields(problem(await api.operator.get(f"{CAMPAIGNS}?{query}"), 400, "invalid_request")) == [field]


def test_a_place_in_the_list_fits_into_a_cursor() -> None:
    longest = "/".join(["-4070908800", "p" * 32, "c" * 48])
    assert len(longest) * 4 / 3 < 128
