"""A merge loses nothing, doubles nothing, and lets nothing be earned twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest

from engage.domain.activity import Review
from engage.domain.refusals import Refusal, Unavailable
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.members.cards import members_of_cards
from engage.flows.members.merge import MergeResult, merge_members
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.reads.home import read_home
from engage.flows.reads.statement import read_credits
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support import checkout
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, FIVE_MINUTES, advance
from tests.support.database import rows
from tests.support.orders import (
    PROGRAM,
    balance,
    buy,
    delivered,
    join,
    line,
    paid,
    returned,
    review_removed,
    send_events,
    services_with_orders,
    spend,
    write_review,
)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Services whose audit must be clean after each test."""
    async with services_with_orders(settings) as opened:
        yield opened
        await assert_audit_is_clean(opened)


async def merge(services: Services, member_id: str = "m-1", into: str = "m-2") -> MergeResult:
    return await merge_members(services, PROGRAM, member_id, into=into, reason="one person", operator="key-1")


async def merge_reviewers(services: Services) -> None:
    """Merge two members who each have an active credit for a review, r-1 and r-2."""
    await join(services)
    await join(services, "m-2")
    await write_review(services, "r-1")
    await write_review(services, "r-2", member_id="m-2")
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    await merge(services)


async def refused(services: Services, member_id: str, into: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await merge(services, member_id, into)
    return caught.value


async def lots(services: Services, member_id: str) -> list[tuple[object, ...]]:
    return await rows(
        services.db,
        "SELECT points, remaining, expires_at FROM lots WHERE member_id = :m AND remaining > 0 ORDER BY 3, 1",
        m=member_id,
    )


async def transferred(services: Services) -> int:
    ((total,),) = await rows(
        services.db,
        "SELECT coalesce(sum(house_delta), 0)::int FROM entries WHERE house_account = 'transferred'",
    )
    assert isinstance(total, int)
    return total


async def test_active_and_pending_points_move_with_their_dates(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    await buy(services, line(paid=5000))
    advance(services, 30 * DAY)
    await buy(services, line(paid=3000), order_id="o-2")
    await buy(services, line(paid=700), order_id="o-3", member_id="m-2")
    await write_review(services)
    before = await lots(services, "m-1") + await lots(services, "m-2")
    merged = await merge(services)
    assert (merged.member_id, merged.balance.active, merged.balance.pending) == ("m-2", 87, 20)
    assert await balance(services, "m-1") == {}
    assert sorted(await lots(services, "m-2"), key=str) == sorted(before, key=str)
    assert await transferred(services) == 0
    advance(services, timedelta(minutes=5))
    await settle_due(services, now=services.clock.now())
    assert await balance(services, "m-2") == {"active": 107}


async def test_points_that_became_active_by_another_clock_move_no_earlier(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    await write_review(services)
    await settle_due(services, now=services.clock.now() + FIVE_MINUTES, on_time=True)
    await merge(services)
    advance(services, FIVE_MINUTES)
    assert await balance(services, "m-2") == {"active": 20}


async def test_a_repeated_merge_returns_the_same_answer(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    await buy(services, line(paid=5000))
    first = await merge(services)
    assert await merge(services) == first
    assert await balance(services, "m-2") == {"active": 50}


async def test_of_two_opposite_merges_one_wins(services: Services, other: Services) -> None:
    await join(services)
    await join(services, "m-2")
    await buy(services, line(paid=5000))
    await buy(services, line(paid=700), order_id="o-2", member_id="m-2")
    answers = await asyncio.gather(
        *(
            merge(process, *pair)
            for pair in [("m-1", "m-2"), ("m-2", "m-1")]
            for process in (services, other)
        ),
        return_exceptions=True,
    )
    merged = [answer for answer in answers if isinstance(answer, MergeResult)]
    assert len({answer.member_id for answer in merged}) == 1
    stayed = merged[0].member_id
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} <= {
        "member_merged",
        "unavailable",
    }
    gone = "m-1" if stayed == "m-2" else "m-2"
    assert await balance(services, stayed) == {"active": 57}
    assert await balance(services, gone) == {}


async def test_a_merged_id_leads_to_the_survivor(services: Services, other: Services) -> None:
    await register_member(
        services, MemberRegistration(member_id="m-1", program=PROGRAM, country="ES", card_numbers=["CARD-1"])
    )
    await join(services, "m-2")
    await write_review(other, "r-0")
    await merge(services)
    # Found by the id, by the card, and in a process with the member in its cache.
    assert await send_events(other, paid(other, line(paid=5000)), delivered(other)) == []
    assert await members_of_cards(services, [(PROGRAM, "CARD-1")]) == {(PROGRAM, "CARD-1"): "m-2"}
    await write_review(other, "r-9")
    await settle_due(services, now=services.clock.now())
    assert await balance(services, "m-2") == {"active": 50, "pending": 40}
    home = await read_home(services, PROGRAM, "m-1")
    assert (home.member.member_id, home.balance.active) == ("m-2", 50)
    shown = await read_credits(services, PROGRAM, "m-1", state="pending", before=None, limit=10)
    assert [credit.points for credit in shown] == [20, 20]


async def test_a_process_with_a_stale_cache_loses_nothing(services: Services, other: Services) -> None:
    await join(services)
    await join(services, "m-2")
    await write_review(other)
    await merge(services)
    assert await send_events(other, delivered(other)) == []
    assert await send_events(services, paid(services, line(paid=5000), member_id="m-2")) == []
    await settle_due(services, now=services.clock.now())
    assert await balance(services, "m-2") == {"active": 50, "pending": 20}


async def test_a_removal_takes_points_back_where_the_merger_is_not_known_yet(
    services: Services, other: Services
) -> None:
    await join(services)
    await join(services, "m-2")
    await write_review(other)
    await merge(services)
    assert await send_events(other, review_removed(other, "r-1")) == []
    assert await balance(services, "m-2") == {}


async def test_a_removal_before_its_activity_counts_where_the_merger_is_not_known_yet(
    services: Services, other: Services
) -> None:
    await join(services)
    await join(services, "m-2")
    await write_review(other, "r-0")
    await merge(services)
    assert await send_events(other, review_removed(other, "r-9")) == []
    late = Review(product_id="r-9", review_id="r-9")
    (answer,) = await record(services, [MemberActivity(PROGRAM, "m-2", late, services.clock.now())])
    assert isinstance(answer, Refusal)
    assert answer.code == "activity_removed"


async def test_concurrent_events_and_merges_end_well(services: Services, other: Services) -> None:
    await join(services)
    await join(services, "m-2")

    async def sell(n: int) -> list[str]:
        refusals = await send_events(other, delivered(other, f"o-{n}"))
        return refusals + await send_events(other, paid(other, line(paid=1000), order_id=f"o-{n}"))

    *refusals, merged = await asyncio.gather(*(sell(n) for n in range(12)), merge(services))
    assert refusals == [[]] * 12
    assert isinstance(merged, MergeResult)
    await settle_due(services, now=services.clock.now())
    assert await balance(services, "m-2") == {"active": 120}
    assert await rows(services.db, "SELECT 1 FROM orders WHERE member_id = 'm-1'") == []


async def test_a_chain_of_merges_leads_to_the_last_survivor(services: Services, other: Services) -> None:
    for n in (1, 2, 3):
        await join(services, f"m-{n}")
        await buy(services, line(paid=n * 1000), order_id=f"o-{n}", member_id=f"m-{n}")
    await merge(services, "m-1", "m-2")
    await merge(services, "m-2", "m-3")
    assert await balance(services, "m-3") == {"active": 60}
    assert (await merge(services, "m-1", "m-2")).member_id == "m-3"
    assert (await read_home(other, PROGRAM, "m-1")).member.member_id == "m-3"
    assert (await refused(services, "m-3", "m-1")).code == "member_merged"
    assert (await refused(services, "m-2", "m-2")).facts == {"into": "m-3"}
    assert await transferred(services) == 0


async def test_nothing_is_earned_twice_after_a_merge(services: Services) -> None:
    await merge_reviewers(services)
    for product, review in [("r-1", "again"), ("r-2", "again-2")]:
        act = MemberActivity(
            PROGRAM, "m-2", Review(product_id=product, review_id=review), services.clock.now()
        )
        (answer,) = await record(services, [act])
        assert isinstance(answer, Refusal)
        assert answer.code == "already_rewarded"
    assert await balance(services, "m-2") == {"active": 40}


async def test_an_order_paid_before_the_merge_can_be_returned_after_it(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    await buy(services, line(paid=5000, quantity=2))
    assert await send_events(services, returned(services, {"1": 1})) == []
    assert await balance(services) == {"active": 25}
    await merge(services)
    assert await send_events(services, returned(services, {"1": 1})) == []
    assert await balance(services, "m-2") == {}


async def test_an_order_paid_before_the_merge_can_be_delivered_after_it(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    assert await send_events(services, paid(services, line(paid=5000))) == []
    await merge(services)
    assert await balance(services, "m-2") == {"pending": 50}
    assert await send_events(services, delivered(services)) == []
    await settle_due(services, now=services.clock.now())
    assert await balance(services, "m-2") == {"active": 50}


async def test_a_removed_review_is_clawed_back_from_the_survivor(services: Services) -> None:
    await merge_reviewers(services)
    assert await send_events(services, review_removed(services, "r-1")) == []
    assert await balance(services, "m-2") == {"active": 20}


async def test_spent_points_are_reinstated_to_the_survivor(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    await buy(services, line(paid=10000))
    hold_id = await spend(services, 60, "o-2")
    assert await send_events(services, paid(services, line(paid=60), order_id="o-2", hold_id=hold_id)) == []
    await merge(services)
    assert await balance(services, "m-2") == {"active": 40}
    assert await send_events(services, returned(services, order_id="o-2")) == []
    assert await balance(services, "m-2") == {"active": 100}
    # The points that the order earned were spent, so they are owed.
    await spend(services, 100, "o-3", member_id="m-2")
    assert await send_events(services, returned(services)) == []
    assert await balance(services, "m-2") == {"debt": 100}


async def test_the_survivor_pays_the_debt(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    await buy(services, line(paid=5000))
    await spend(services, 50)
    assert await send_events(services, returned(services)) == []
    assert await balance(services) == {"debt": 50}
    await buy(services, line(paid=3000), order_id="o-2", member_id="m-2")
    await merge(services)
    assert await balance(services, "m-2") == {"debt": 20}
    assert await transferred(services) == 0
    await buy(services, line(paid=3000), order_id="o-4", member_id="m-2")
    assert await balance(services, "m-2") == {"active": 10}


async def test_a_member_with_an_open_hold_is_not_merged(services: Services) -> None:
    await join(services)
    await join(services, "m-2")
    await buy(services, line(paid=5000))
    await spend(services, 20, "o-9", capture=False)
    held = await refused(services, "m-1", "m-2")
    assert (held.code, held.facts) == ("points_held", {"member_id": "m-1"})
    assert await balance(services) == {"active": 30, "held": 20}
    # The survivor may have open holds.
    await merge(services, "m-2", "m-1")
    assert await balance(services) == {"active": 30, "held": 20}


async def test_an_unknown_member_is_not_merged(services: Services) -> None:
    await join(services)
    assert (await refused(services, "m-1", "nobody")).code == "unknown_member"
    assert (await refused(services, "nobody", "m-1")).code == "unknown_member"
    assert (await refused(services, "m-1", "m-1")).code == "member_merged"


async def test_points_earned_during_a_merge_are_not_lost(services: Services, other: Services) -> None:
    await join(services)
    await join(services, "m-2")
    acts = [
        MemberActivity(PROGRAM, "m-1", Review(product_id=f"p-{n}", review_id=f"r-{n}"), services.clock.now())
        for n in range(60)
    ]

    async def earn() -> int:
        done = 0
        for n in range(0, 60, 3):
            answers = await record(other, acts[n : n + 3])
            done += sum(not isinstance(answer, Exception) for answer in answers)
        return done

    async def merge_in_the_end() -> MergeResult:
        while True:
            with suppress(Unavailable):  # New credits kept arriving.
                return await merge(services)

    earned, merged = await asyncio.gather(earn(), merge_in_the_end())
    assert isinstance(merged, MergeResult)
    assert earned == 60
    assert await balance(services, "m-1") == {}
    assert await balance(services, "m-2") == {"pending": 60 * 20}


async def test_coupons_and_reward_limits_move_to_the_survivor(settings: Settings) -> None:
    async with checkout.services_with_checkout(settings) as services:
        for member_id in ("m-1", "m-2"):
            await checkout.member_with_points(services, 300, member_id)
        code = (await checkout.redeem_reward(services, "one_euro")).issued.code
        await checkout.redeem_reward(services, "ever")
        await merge_members(services, checkout.SPENDING, "m-1", into="m-2", reason="one", operator="key-1")
        with pytest.raises(Refusal, match="limit_reached"):
            await checkout.redeem_reward(services, "ever", "m-2")
        request = checkout.hold_request(member_id="m-2", points=100, coupon_codes=[code])
        await checkout.close_hold(services, await checkout.place_hold(services, request), "captured")
        # The merged id works too.
        again = checkout.hold_request("o-2", member_id="m-1", points=100)
        await checkout.close_hold(services, await checkout.place_hold(services, again), "released")
        assert await checkout.balance(services, "m-2") == (390, 0, 0)
        await assert_audit_is_clean(services)
