"""Steps of challenges are paid as facts come, and taken back as facts go."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from engage.domain.activity import Share
from engage.flows.activities.confirmations import lapse_due
from engage.flows.members.erase import erase_member
from engage.flows.rewards.coupons import void_coupon
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from tests.support.challenges import (
    TAPS,
    coupons,
    define,
    do,
    paid_steps,
    progress,
    react,
    redefine,
    shown,
    tap,
    write_reviews,
)
from tests.support.clock import DAY, FIVE_MINUTES, NOON, advance
from tests.support.database import rows
from tests.support.orders import (
    PROGRAM,
    balance,
    join,
    line,
    paid,
    returned,
    review_removed,
    send_events,
)

SPEND = {"id": "spender", "goal": {"kind": "spend_minor"}, "steps": [{"at": 2000, "points": 50}]}


async def settle(services: Services) -> None:
    await settle_due(services, now=advance(services, FIVE_MINUTES))


async def test_a_step_is_paid_once_from_the_time_that_it_was_reached(services: Services) -> None:
    await define(services, due={"type": "after", "delay": "PT1H"})
    await write_reviews(services, "r-1")
    advance(services, FIVE_MINUTES)
    await write_reviews(services, "r-2")
    assert await paid_steps(services) == []
    reached_at = services.clock.now()
    advance(services, FIVE_MINUTES)
    assert await react(services) > 0
    assert await paid_steps(services) == [("challenge:critic:ever:2:1", "pending", 10)]
    ((rule, at, due_at, why),) = await rows(
        services.db,
        "SELECT rule_id, activity_at, due_at, why FROM credits WHERE source_key LIKE 'challenge:%'",
    )
    assert (rule, at, due_at) == ("challenge:critic", reached_at, reached_at + timedelta(hours=1))
    assert isinstance(why, dict)
    assert why["inputs"] == {"version": "#1", "reached_by": "review"}
    assert why["trace"] == [
        ["challenge_step", {"rule": "challenge:critic", "period": "ever", "progress": 2, "points": 10}]
    ]
    for _ in range(3):
        await react(services)
    assert await react(services) == 0
    assert len(await paid_steps(services)) == 1


async def test_it_shows_how_far_the_member_is(services: Services) -> None:
    await define(services, until="2026-12-01T00:00:00")
    await write_reviews(services, "r-1", "r-2")
    (view,) = await shown(services, language="de")
    assert (view.title, view.progress, view.state) == ("Kritik", 2, "running")
    first = view.steps[0]
    assert (first.at, first.points, first.reached_at) == (2, 10, NOON)
    assert view.ends_at is not None
    assert view.ends_at.isoformat() == "2026-11-30T23:00:00+00:00"
    await write_reviews(services, "r-3")
    assert (await shown(services))[0].state == "done"
    await join(services, "m-2")
    advance(services, 12 * DAY)
    assert [view.state for view in await shown(services, "m-2")] == ["missed"]
    advance(services, 30 * DAY)
    assert await shown(services, "m-2") == []


async def test_what_is_taken_back_takes_the_step_with_it_and_is_paid_again(services: Services) -> None:
    await define(services)
    await write_reviews(services, "r-1", "r-2")
    await react(services)
    await settle(services)
    assert await balance(services) == {"active": 50}
    assert await send_events(services, review_removed(services, "r-1")) == []
    assert await progress(services) == {"critic": 1}
    await react(services)
    assert await balance(services) == {"active": 20}
    assert await paid_steps(services) == [("challenge:critic:ever:2:1", "reversed", 10)]
    await write_reviews(services, "r-3")
    await react(services)
    assert await paid_steps(services) == [
        ("challenge:critic:ever:2:1", "reversed", 10),
        ("challenge:critic:ever:2:2", "pending", 10),
    ]
    await write_reviews(services, "r-4")
    assert await send_events(services, review_removed(services, "r-4")) == []
    await react(services)
    assert len(await paid_steps(services)) == 2, "the third step was never seen as reached"


async def test_another_cause_instead_of_the_one_that_went_keeps_the_step_paid(services: Services) -> None:
    await define(services)
    await write_reviews(services, "r-1", "r-2")
    await react(services)
    advance(services, FIVE_MINUTES)
    await write_reviews(services, "r-3")
    assert await send_events(services, review_removed(services, "r-1")) == []
    await react(services)
    assert await paid_steps(services) == [("challenge:critic:ever:2:1", "pending", 10)]
    (view,) = await shown(services)
    assert view.steps[0].reached_at == services.clock.now()


async def test_returns_lower_what_was_spent(services: Services) -> None:
    await define(services, **SPEND)
    two = (line(paid=1500), line("2", paid=1000, quantity=2))
    assert await send_events(services, paid(services, *two)) == []
    await react(services)
    assert await paid_steps(services) == [("challenge:spender:ever:2000:1", "pending", 50)]
    assert await send_events(services, returned(services, {"2": 1})) == []
    assert await progress(services) == {"spender": 2000}
    await react(services)
    assert len(await paid_steps(services)) == 1
    assert await send_events(services, returned(services, {"1": 1})) == []
    await react(services)
    assert await progress(services) == {"spender": 500}
    assert await paid_steps(services) == [("challenge:spender:ever:2000:1", "reversed", 50)]


async def test_points_that_lapse_or_go_with_an_order_are_not_earned(services: Services) -> None:
    await define(services, id="points", goal={"kind": "points_earned"}, steps=[{"at": 15, "points": 7}])
    await do(services, Share(kind="link", product_id="band", share_id="s-1"))
    assert await send_events(services, paid(services)) == []
    await react(services)
    assert await progress(services) == {"points": 15}, (
        "5 of the share, 10 of the order, none of the challenge"
    )
    assert await paid_steps(services) == [("challenge:points:ever:15:1", "pending", 7)]
    await lapse_due(services, now=advance(services, 3 * DAY))
    await react(services)
    assert await progress(services) == {"points": 10}
    assert await paid_steps(services) == [("challenge:points:ever:15:1", "reversed", 7)]


async def test_each_period_is_paid_by_itself_also_for_late_activities(services: Services) -> None:
    await define(services, repeats="daily", steps=[{"at": 1, "points": 10}])
    await write_reviews(services, "r-1")
    yesterday = services.clock.now()
    advance(services, DAY)
    await write_reviews(services, "r-2")
    await react(services)
    await write_reviews(services, "r-3", at=yesterday)
    await react(services)
    assert [key for key, _, _ in await paid_steps(services)] == [
        "challenge:critic:2026-11-21:1:1",
        "challenge:critic:2026-11-22:1:1",
    ]
    assert await send_events(services, review_removed(services, "r-1")) == []
    await react(services)
    assert len(await paid_steps(services)) == 2, "the late one has taken its place"
    assert await send_events(services, review_removed(services, "r-3")) == []
    await react(services)
    assert [state for _, state, _ in await paid_steps(services)] == ["reversed", "pending"]


async def test_a_day_is_that_of_the_members_zone(services: Services) -> None:
    await join(services, "m-nz", "NZ")
    await define(services, repeats="daily", goal=TAPS, steps=[{"at": 1, "points": 10}])
    await tap(services)
    await tap(services, member_id="m-nz")
    await react(services)
    assert [key for key, _, _ in await paid_steps(services)] == ["challenge:critic:2026-11-21:1:1"]
    assert [key for key, _, _ in await paid_steps(services, "m-nz")] == ["challenge:critic:2026-11-22:1:1"]


async def test_what_happened_before_it_was_defined_does_not_count(services: Services) -> None:
    await write_reviews(services, "r-1", "r-2")
    advance(services, FIVE_MINUTES)
    await define(services)
    await write_reviews(services, "r-3")
    await react(services)
    assert await progress(services) == {"critic": 1}
    assert await paid_steps(services) == []


async def test_a_running_period_goes_on_under_the_version_that_it_began_with(services: Services) -> None:
    await define(services, repeats="daily")
    await write_reviews(services, "r-1")
    advance(services, FIVE_MINUTES)
    await redefine(services, 1, repeats="daily", title={"en": "Reader"}, steps=[{"at": 1, "points": 99}])
    await write_reviews(services, "r-2")
    await react(services)
    assert await paid_steps(services) == [("challenge:critic:2026-11-21:2:1", "pending", 10)]
    (view,) = await shown(services)
    assert (view.title, len(view.steps)) == ("Reader", 2)
    advance(services, DAY)
    await write_reviews(services, "r-3")
    await react(services)
    assert ("challenge:critic:2026-11-22:1:1", "pending", 99) in await paid_steps(services)


async def test_a_reward_is_given_once_as_far_as_there_are_any(services: Services) -> None:
    await define(services, steps=[{"at": 1, "reward": "five_off"}, {"at": 2, "points": 10}])
    for member_id in ("m-2", "m-3"):
        await join(services, member_id)
    for member_id in ("m-1", "m-2", "m-3"):
        await write_reviews(services, f"of-{member_id}", member_id=member_id)
        await react(services)
    await react(services)
    given = [await coupons(services, member_id) for member_id in ("m-1", "m-2", "m-3")]
    assert given == [["issued"], ["issued"], []]
    assert await rows(services.db, "SELECT issued FROM reward_stock") == [(2,)]
    assert await balance(services) == {"pending": 20}


async def test_a_reward_goes_with_its_cause_unless_it_is_used(services: Services) -> None:
    await define(services, steps=[{"at": 1, "reward": "five_off"}])
    await write_reviews(services, "r-1")
    await react(services)
    assert await send_events(services, review_removed(services, "r-1")) == []
    await react(services)
    assert await coupons(services) == ["void"]
    await write_reviews(services, "r-2")
    await react(services)
    assert await coupons(services) == ["void", "issued"]
    ((code,),) = await rows(services.db, "SELECT code FROM coupons WHERE state = 'issued'")
    await void_coupon(services, PROGRAM, str(code), operator="test")
    assert await send_events(services, review_removed(services, "r-2")) == []
    await write_reviews(services, "r-3")
    await react(services)
    assert await coupons(services) == ["void", "void"], "an operator's void is no reason for another one"


async def test_progress_needs_nothing_but_the_database(services: Services, valkey: Redis) -> None:
    await define(services)
    await write_reviews(services, "r-1", "r-2")
    before = await shown(services)
    await valkey.flushall()
    assert await shown(services) == before
    await react(services)
    assert len(await paid_steps(services)) == 1


async def test_an_erased_member_leaves_nothing(services: Services) -> None:
    await define(services, steps=[{"at": 1, "reward": "five_off", "points": 10}])
    await write_reviews(services, "r-1")
    await react(services)
    await erase_member(services, PROGRAM, "m-1", operator="key-1")
    await react(services)
    assert await rows(services.db, "SELECT step FROM challenge_gifts") == []
    assert await rows(services.db, "SELECT id FROM credits WHERE reference IS NOT NULL") == []
    assert await react(services) == 0


@pytest.mark.parametrize("late", [False, True])
async def test_what_is_taken_back_long_after_the_end_stays_paid(services: Services, late: bool) -> None:
    await define(services, repeats="daily", steps=[{"at": 1, "points": 10}])
    await write_reviews(services, "r-1")
    await react(services)
    advance(services, (122 if late else 100) * DAY)
    assert await send_events(services, review_removed(services, "r-1")) == []
    await react(services)
    assert [state for _, state, _ in await paid_steps(services)] == ["pending" if late else "reversed"]
