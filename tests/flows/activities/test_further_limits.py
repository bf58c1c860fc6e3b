"""A rule's further limits: the database keeps them, and every answer is that of the tightest."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count

import pytest

from engage.domain.activity import AnyActivity, Review
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.merge import merge_members
from engage.flows.operations.rebuild import rebuild
from engage.flows.reads.home import read_home
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import (
    PROGRAM,
    act,
    join,
    link,
    perform,
    review_removed,
    services_with_activities,
    social,
    tap,
)
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, advance
from tests.support.database import rows

MIDNIGHT = datetime(2026, 11, 21, 23, tzinfo=UTC)  # In Madrid.
NEXT_MONTH = datetime(2026, 11, 30, 23, tzinfo=UTC)

_numbers = count(1)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_activities(settings, capped=True) as opened:
        await join(opened)
        yield opened
        await assert_audit_is_clean(opened)


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    async with services_with_activities(settings, capped=True) as opened:
        yield opened


def new_review() -> Review:
    number = next(_numbers)
    return Review(product_id=f"p-{number}", review_id=f"r-{number}")


async def refused(services: Services, activity: AnyActivity, member_id: str = "m-1") -> Refusal:
    (answer,) = await record(services, [act(services, activity, member_id)])
    assert isinstance(answer, Refusal), answer
    return answer


async def remaining(services: Services, member_id: str = "m-1") -> dict[str, tuple[int, datetime]]:
    home = await read_home(services, PROGRAM, member_id)
    return {limit.rule: (limit.remaining, limit.resets_at) for limit in home.limits}


@pytest.mark.parametrize("losing", [False, True])
async def test_a_further_limit_stops_the_third_review_of_a_day(services: Services, losing: bool) -> None:
    for left in (1, 0):
        if losing:
            await services.post_commit.drain()
            await services.gate.forget_all()
        recorded = await perform(services, new_review())
        assert recorded.limit is not None
        assert (recorded.limit.remaining, recorded.limit.resets_at) == (left, MIDNIGHT)
    if losing:
        await services.post_commit.drain()
        await services.gate.forget_all()
    stopped = await refused(services, new_review())
    assert (stopped.code, stopped.status) == ("limit_reached", 409)
    assert stopped.facts["rule"] == "review"
    assert (stopped.facts["limit"], stopped.facts["window"]) == (2, "day")
    assert stopped.facts["resets_at"] == MIDNIGHT
    advance(services, DAY)
    assert [c.rule for c in (await perform(services, new_review())).credits] == ["review"]


async def test_the_limit_that_stopped_is_named_and_of_two_the_one_that_lasts(services: Services) -> None:
    for _ in range(3):
        await perform(services, social())  # The third one earns by share_any alone.
    by_day = await refused(services, social())
    assert (by_day.facts["rule"], by_day.facts["window"], by_day.facts["limit"]) == ("share_social", "day", 2)
    assert by_day.facts["resets_at"] == MIDNIGHT
    advance(services, DAY)
    for _ in range(3):
        await perform(services, social())
    by_month = await refused(services, social())
    assert (by_month.facts["window"], by_month.facts["resets_at"]) == ("month", NEXT_MONTH)


async def test_home_shows_the_limit_that_the_member_meets_first(services: Services) -> None:
    assert await remaining(services) == {
        "fuel": (4, NEXT_MONTH),
        "share_social": (2, MIDNIGHT),
        "share_link": (2, MIDNIGHT),
        "share_any": (3, MIDNIGHT),
        "review": (2, MIDNIGHT),
    }
    for _ in range(2):
        await perform(services, link())
        advance(services, DAY)
        await perform(services, link())
    # Of five a month one is left, of two a day one.
    assert (await remaining(services))["share_link"] == (1, NEXT_MONTH)


async def test_a_streak_with_a_limit_of_its_month_ends_there(services: Services) -> None:
    for _ in range(4):
        assert (await perform(services, tap())).credits[0].rule == "fuel"
        assert (await refused(services, tap())).code == "already_tapped"
        advance(services, DAY)
    assert (await refused(services, tap())).code == "limit_reached"


async def test_a_refused_review_uses_nothing(services: Services) -> None:
    first = new_review()
    await perform(services, first)
    for _ in range(4):
        again = Review(product_id=first.product_id, review_id=f"r-{next(_numbers)}")
        assert (await refused(services, again)).code == "already_rewarded"
    assert (await remaining(services))["review"] == (1, MIDNIGHT)
    await services.post_commit.drain()
    await services.gate.forget_all()
    assert (await refused(services, again)).code == "already_rewarded"
    assert (await perform(services, new_review())).credits
    assert (await refused(services, new_review())).code == "limit_reached"
    for emptied in (False, True):
        if emptied:
            await services.post_commit.drain()
            await services.gate.forget_all()
        assert (await refused(services, again)).code == "already_rewarded", "whatever the gate has forgotten"


async def test_a_removed_review_keeps_its_place(services: Services) -> None:
    for _ in range(2):
        activity = new_review()
        await perform(services, activity)
        await take_events(services, [review_removed(services, activity.review_id)])
    assert (await refused(services, new_review())).code == "limit_reached"


async def test_a_hundred_invented_products_at_once_earn_what_the_limit_allows(
    services: Services, other: Services
) -> None:
    await rebuild(services)
    reviews = [act(services, new_review()) for _ in range(100)]
    asking = [record((services, other)[n % 2], reviews[n::10]) for n in range(10)]
    losing = [services.gate.forget_all() for _ in range(3)]
    results = await asyncio.gather(*asking, *losing)
    answers = [answer for result in results if result for answer in result]
    recorded = [answer for answer in answers if isinstance(answer, RecordedActivity)]
    assert len(recorded) == 2
    codes = {answer.code for answer in answers if isinstance(answer, Refusal)}
    assert codes == {"limit_reached"}
    found = await rows(
        services.db, "SELECT of_day::text, day_slot FROM credits WHERE rule_id = 'review' ORDER BY 2"
    )
    assert found == [("2026-11-21", 1), ("2026-11-21", 2)]


async def test_a_gate_that_lost_its_last_second_cannot_grant_a_used_place(services: Services) -> None:
    await services.gate.load([(PROGRAM, "m-1", [])], day=0, month=0)
    before = await services.gate.read(PROGRAM, "m-1")
    assert before is not None
    await perform(services, new_review())
    await services.post_commit.drain()
    await services.gate.forget_all()
    await services.gate.load([(PROGRAM, "m-1", before)], day=0, month=0)
    await perform(services, new_review())
    assert (await refused(services, new_review())).code == "limit_reached"


async def test_a_merger_pays_no_more_reviews_of_a_day_than_one_member_has(services: Services) -> None:
    await join(services, "m-2")
    reviews = {member: [new_review() for _ in range(2)] for member in ("m-1", "m-2")}
    for member, written in reviews.items():
        for activity in written:
            await perform(services, activity, member)
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one", operator="key-1")
    assert (await remaining(services))["review"] == (0, MIDNIGHT)
    assert (await refused(services, new_review())).code == "limit_reached"
    kept = await rows(
        services.db,
        "SELECT count(*) FROM credits WHERE member_id = 'm-1' AND rule_id = 'review' AND state = 'pending'",
    )
    assert kept == [(2,)]
    advance(services, DAY)
    for activity in reviews["m-1"]:
        again = Review(product_id=activity.product_id, review_id=f"r-{next(_numbers)}")
        assert (await refused(services, again)).code == "already_rewarded"
