"""Visits of pages, over HTTP: answers and refusals."""

from collections.abc import AsyncIterator

import pytest

from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, fields, problem
from tests.support.clock import NOON, StoppedClock
from tests.support.visits import DOCUMENT, PROGRAM

VISITS = "/v1/visits"
MIDNIGHT = "2026-11-21T23:00:00Z"  # Of the next day in Madrid.


@pytest.fixture(scope="module")
async def browsing(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        await publish(
            opened.services.db, DOCUMENT, source="browsing", operator="test", clock=opened.services.clock
        )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


async def joined(browsing: Calling) -> Caller:
    return browsing.member_of(PROGRAM, (await browsing.joined(program=PROGRAM)).member_id)


async def test_a_visit_answers_with_its_credits_and_the_remaining_limit(browsing: Calling) -> None:
    member = await joined(browsing)
    answer = await member.post(VISITS, {"page": "offers"})
    assert answer.status_code == 202
    assert {(c["rule"], c["points"], c["state"]) for c in answer.json()["credits"]} == {
        ("browse", 5, "pending"),
        ("offers", 20, "pending"),
        ("new_pages", 1, "pending"),
    }
    assert answer.json()["limit"] == {"rule": "browse", "remaining": 2, "resets_at": MIDNIGHT}
    assert answer.json()["streak"] is None


async def test_a_visit_above_the_limit_is_refused_with_the_time_of_the_next(browsing: Calling) -> None:
    member = await joined(browsing)
    for page in ("offers", "news", "offers"):
        assert (await member.post(VISITS, {"page": page})).status_code == 202
    refused = problem(await member.post(VISITS, {"page": "offers"}), 409, "limit_reached")
    assert (refused["resets_at"], refused["rule"], refused["zone"]) == (MIDNIGHT, "browse", "Europe/Madrid")


async def test_a_visit_that_no_rule_is_about_is_not_offered(browsing: Calling) -> None:
    member = await browsing.joined()  # Of a program without visits.
    problem(await member.post(VISITS, {"page": "offers"}), 404, "not_offered")


async def test_a_repeated_visit_takes_one_place(browsing: Calling) -> None:
    member = await joined(browsing)
    first = await member.post(VISITS, {"page": "news"}, idempotency_key="k-1")
    again = await member.post(VISITS, {"page": "news"}, idempotency_key="k-1")
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    problem(await member.post(VISITS, {"page": "x"}, idempotency_key="k-1"), 422, "idempotency_key_reused")


@pytest.mark.parametrize("body", [{}, {"page": ""}, {"page": "a\nb"}, {"page": 1}, {"page": "x" * 129}])
async def test_a_page_has_a_name_of_one_line(browsing: Calling, body: object) -> None:
    member = await joined(browsing)
    assert fields(problem(await member.post(VISITS, body), 400, "invalid_request")) == ["page"]


async def test_a_visit_has_no_other_fields_and_needs_a_token(browsing: Calling) -> None:
    member = await joined(browsing)
    sent = {"page": "offers", "points": 100}
    assert fields(problem(await member.post(VISITS, sent), 400, "invalid_request")) == ["points"]
    problem(await browsing.nobody.post(VISITS, {"page": "offers"}), 401, "unauthorized")
    problem(await browsing.shop.post(VISITS, {"page": "offers"}), 401, "unauthorized")
