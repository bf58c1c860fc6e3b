"""Levels on the home screen and as reactions store them: up at once, down in time, whoever is merged."""

from datetime import UTC, datetime, timedelta

from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.programs.publish import publish
from engage.flows.scheduled.due_work import DUE_WORK
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import ReviewReference, ReviewRemovedEvent
from engage.flows.tiers.react import activate_status, end_levels
from engage.runtime.services import Services
from tests.support.clock import DAY, FIVE_MINUTES, NOON, StoppedClock, advance
from tests.support.database import rows
from tests.support.tiers import (
    HEAD,
    PROGRAM,
    RULES,
    delivered,
    level,
    paid,
    react,
    returned,
    review,
    send,
    stored_credits,
    tiers,
)

# The end of 2026 in Kolkata, and the grace.
KEPT = datetime(2026, 12, 31, 18, 30, tzinfo=UTC) + timedelta(days=30)


async def stored(services: Services, member_id: str = "m-1") -> list[tuple[object, ...]]:
    return await rows(
        services.db,
        """SELECT group_id, level, value, keeps_until FROM tiers WHERE member_id = :m ORDER BY group_id""",
        m=member_id,
    )


async def changes(services: Services, member_id: str = "m-1") -> list[tuple[object, ...]]:
    return await rows(
        services.db,
        """SELECT group_id, at, before, level, cause ->> 'kind', cause ->> 'id' FROM level_changes
           WHERE member_id = :m ORDER BY group_id, number""",
        m=member_id,
    )


async def remove_review(services: Services, review_id: str) -> None:
    await send(
        services,
        ReviewRemovedEvent(
            id=f"gone-{review_id}",
            program=PROGRAM,
            member_id="m-1",
            time=services.clock.now(),
            data=ReviewReference(review_id=review_id),
        ),
    )


async def test_a_new_member_has_the_first_level_of_each_group(services: Services) -> None:
    found = await tiers(services)
    assert (found["spend"].level, found["spend"].value, found["spend"].keeps_until) == ("blue", 0, None)
    assert (found["fans"].level, found["fans"].title) == (None, None)
    assert [(t.next.level, t.next.missing) for t in found.values() if t.next] == [
        ("silver", 100_00),
        ("fan", 10),
    ]


async def test_an_order_lifts_at_once_and_a_return_lowers_the_value_alone(services: Services) -> None:
    await send(services, paid(services, "o-1", 60_00, 240_00))
    found = (await tiers(services, language="de"))["spend"]
    assert (found.level, found.title, found.value, found.next) == ("gold", "Gold", 300_00, None)
    assert found.keeps_until == KEPT
    await send(services, returned(services, "o-1", "1"))
    found = (await tiers(services, language="de"))["spend"]
    assert (found.level, found.value, found.keeps_until) == ("gold", 60_00, KEPT)


async def test_a_level_falls_at_the_windows_end_plus_grace_and_not_before(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    assert isinstance(services.clock, StoppedClock)
    services.clock.at = KEPT - timedelta(microseconds=1)
    found = (await tiers(services))["spend"]
    assert (found.level, found.value) == ("gold", 0)
    services.clock.at = KEPT
    assert await level(services) == "blue"


async def test_status_counts_from_its_activity_on_and_is_taken_back_with_it(services: Services) -> None:
    await review(services, "r-1")
    await review(services, "r-2")
    found = (await tiers(services))["fans"]
    assert (found.level, found.value) == ("fan", 10)
    await remove_review(services, "r-1")
    assert (await tiers(services))["fans"].value == 5
    advance(services, FIVE_MINUTES)
    await settle_due(services, now=services.clock.now())
    assert await activate_status(services, now=services.clock.now()) == 1
    assert (await stored_credits(services))["review_status:r-2"][0] == "active"
    await remove_review(services, "r-2")
    credit = (await stored_credits(services))["review_status:r-2"]
    assert credit[:3] == ("reversed", 5, 0)
    found = (await tiers(services))["fans"]
    # The level lasts as long as the two reviews would have.
    assert (found.level, found.value) == ("fan", 0)


async def test_status_of_an_order_shrinks_with_its_returns(services: Services) -> None:
    await send(services, paid(services, "o-1", 600_00, 400_00))
    advance(services, FIVE_MINUTES)
    assert await activate_status(services, now=services.clock.now()) == 1
    await send(services, returned(services, "o-1", "0"))
    assert (await stored_credits(services))["order:o-1:order_status"][:2] == ("active", 4)
    assert (await tiers(services))["fans"].value == 4
    await send(services, returned(services, "o-1"))
    assert (await stored_credits(services))["order:o-1:order_status"][0] == "reversed"
    assert (await tiers(services))["fans"].value == 0


async def test_reactions_store_levels_with_their_causes(services: Services) -> None:
    await send(services, paid(services, "o-1", 100_00))
    lifted = services.clock.now()
    advance(services, DAY)
    await send(services, paid(services, "o-2", 200_00))
    await react(services)
    assert await stored(services) == [("fans", None, 3, None), ("spend", "gold", 300_00, KEPT)]
    assert await changes(services) == [
        ("spend", lifted, "blue", "silver", "order", "o-1"),
        ("spend", services.clock.now(), "silver", "gold", "order", "o-2"),
    ]
    # Nothing has changed since, so nothing is written.
    version = await rows(
        services.db, "SELECT xmin::text FROM tiers UNION SELECT xmin::text FROM level_changes"
    )
    await react(services)
    await send(services, delivered(services, "o-1"))
    await react(services)
    assert version == await rows(
        services.db, "SELECT xmin::text FROM tiers UNION SELECT xmin::text FROM level_changes"
    )


async def test_a_late_order_is_put_into_the_history_at_its_time(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    await react(services)
    early = services.clock.now() - timedelta(minutes=4)
    await send(services, paid(services, "o-2", 100_00, at=early))
    await react(services)
    assert [row[1:4] for row in await changes(services)] == [
        (early, "blue", "silver"),
        (NOON, "silver", "gold"),
    ]


async def test_levels_end_as_the_clock_passes_their_end(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    await react(services)
    work = next(work for work in DUE_WORK if work.name == "end_levels")
    async with services.db.connect() as conn:
        assert await work.next_at(conn, after=services.clock.now()) == KEPT
    assert isinstance(services.clock, StoppedClock)
    services.clock.at = KEPT
    assert await end_levels(services, now=KEPT) == 1
    assert (await changes(services))[-1] == ("spend", KEPT, "gold", "blue", "window_end", None)
    assert await end_levels(services, now=KEPT) == 0


async def test_where_no_groups_are_offered_any_more_no_level_is_stored(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    await react(services)
    without = (HEAD + RULES).replace('version = "1"', 'version = "2"').replace("2020-01-01", "2026-12-01")
    await publish(services.db, without, source="test", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    assert isinstance(services.clock, StoppedClock)
    services.clock.at = KEPT
    assert await end_levels(services, now=KEPT) == 1
    assert await end_levels(services, now=KEPT) == 0
    assert await stored(services) == []


async def test_merged_members_have_the_level_of_both(services: Services) -> None:
    await send(services, paid(services, "o-1", 100_00), paid(services, "o-2", 200_00, member_id="m-2"))
    for review_id, member in (("r-1", "m-1"), ("r-2", "m-2"), ("r-1", "m-2")):
        await review(services, review_id, member)
    advance(services, FIVE_MINUTES)
    await settle_due(services, now=services.clock.now())
    await activate_status(services, now=services.clock.now())
    await react(services)
    await merge_members(services, PROGRAM, "m-1", into="m-2", reason="one person", operator="key-1")
    await react(services)
    found = await tiers(services, "m-2")
    assert (found["spend"].level, found["spend"].value) == ("gold", 300_00)
    # Active status stays the member's, though both wrote of the same product.
    assert (found["fans"].level, found["fans"].value) == ("fan", 15 + 1 + 2)
    assert await stored(services, "m-1") == []
    assert [row[1] for row in await stored(services, "m-2")] == ["fan", "gold"]
    assert await tiers(services, "m-1") == found
    # What was boosted goes on with its order.
    await send(services, returned(services, "o-1", member_id="m-2"))
    assert (await tiers(services, "m-2"))["spend"].value == 200_00


async def test_points_that_were_spent_before_a_merger_still_count(services: Services) -> None:
    """Rows of the merged account stay its history; each credit counts once."""
    await send(services, paid(services, "o-1", 300_00), paid(services, "o-3", 50_00))
    await send(services, delivered(services, "o-3"))
    await settle_due(services, now=services.clock.now())
    await merge_members(services, PROGRAM, "m-1", into="m-2", reason="one person", operator="key-1")
    found = await stored_credits(services, "m-2")
    assert found["order:o-3:purchase+tier:spend"] == ("active", 50, 0, "points", "tier:gold")
    await send(services, returned(services, "o-3", member_id="m-2"))
    assert (await stored_credits(services, "m-2"))["order:o-3:purchase+tier:spend"][0] == "reversed"


async def test_an_erased_member_leaves_no_level(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00), paid(services, "o-2", 50_00))
    await review(services, "r-1")
    await react(services)
    await erase_member(services, PROGRAM, "m-1", operator="key-1")
    await react(services)
    assert await stored(services) == []
    assert await changes(services) == []
    found = await rows(
        services.db, "SELECT source_key, CAST(why AS text) FROM credits WHERE member_id = 'm-1'"
    )
    assert not [row for row in found if any("r-1" in str(part) or "o-2" in str(part) for part in row)]
