"""Rules of campaigns pay from the budgets of these: whole, or not at all."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from engage.domain.activity import Share
from engage.domain.refusals import Code
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.campaigns.budgets import fold_returns
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.campaigns.budgets import read_left
from tests.flows.campaigns.test_orders import deliver, give_back, kept, line, pay
from tests.flows.campaigns.test_rules import ONCE, SPENT, TWICE_A_DAY, paid_by, refused, rule
from tests.support.campaigns import approve, boost, document
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.tiers import PROGRAM, act, join, review, tap

MEMBERS = 12

TALK = rule("talk", "share", {"type": "per_window", "window": "day", "count": 1})


def week(*rules: dict[str, Any], budget: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return document("week", rules=rules, budget=budget, **fields)


def share(number: int) -> Share:
    return Share(kind="link", product_id="p", share_id=f"s-{number}")


async def left(services: Services, *, folded: bool = True) -> tuple[int | None, int | None]:
    """The points and the count that are left, with what came back."""
    if folded:
        await fold_returns(services, now=services.clock.now(), on_time=False)
    async with transaction(services.db) as conn:
        found = (await read_left(conn, [(PROGRAM, "week")]))[PROGRAM, "week"]
    return found.points, found.count


async def granted(services: Services) -> list[tuple[str, int]]:
    found = await rows(
        services.db,
        "SELECT member_id, points FROM credits WHERE campaign = 'week' AND state <> 'reversed'"
        " ORDER BY member_id, id",
    )
    return [(str(member), int(str(points))) for member, points in found]


async def share_all(services: Services, other: Services) -> list[Any]:
    """Let all members share at once, half of them in another process."""

    async def share_each(opened: Services, numbers: range) -> list[Any]:
        now = services.clock.now()
        return await record(opened, [MemberActivity(PROGRAM, f"n-{n}", share(n), now) for n in numbers])

    batches = await asyncio.gather(
        *(share_each(services if n % 2 else other, range(n, n + 3)) for n in range(0, MEMBERS, 3))
    )
    return [answer for batch in batches for answer in batch]


@pytest.mark.parametrize(
    ("budget", "paid", "rest"), [({"points": 40}, 5, (5, None)), ({"count": 3}, 3, (None, 0))]
)
async def test_two_processes_pay_whole_credits_and_no_more_than_the_budget(
    services: Services,
    other: Services,
    budget: dict[str, Any],
    paid: int,
    rest: tuple[int | None, int | None],
) -> None:
    for n in range(MEMBERS):
        await join(services, f"n-{n}")
    await approve(services, week(TALK, budget=budget))
    await other.campaigns.refresh(other.db)
    answers = await share_all(services, other)
    assert sum(isinstance(answer, RecordedActivity) for answer in answers) == paid
    assert {answer.code for answer in answers if not isinstance(answer, RecordedActivity)} == {
        Code.BUDGET_EXHAUSTED
    }
    assert [points for _, points in await granted(services)] == [7] * paid
    assert await left(services) == rest


async def test_an_activity_that_is_refused_uses_up_no_slot(services: Services) -> None:
    campaign = week(TALK, budget={"points": 7})
    await approve(services, campaign)
    await act(services, share(1))
    for number in (2, 3):
        refusal = await refused(services, share(number), "m-2")
        assert (refusal.code, refusal.facts) == (Code.BUDGET_EXHAUSTED, {"campaign": "week"})
    await approve(services, campaign | {"budget": {"points": 14}}, version=2, at=services.clock.now())
    advance(services, timedelta(seconds=2))
    assert paid_by(await act(services, share(4), "m-2")) == [("talk", 7, "week")]
    assert (await refused(services, share(5), "m-2")).code == Code.LIMIT_REACHED
    assert await left(services) == (0, None)


async def test_what_the_program_pays_is_paid_beside_a_rule_whose_budget_is_used_up(
    services: Services,
) -> None:
    await approve(services, week(ONCE, budget={"points": 10}))
    assert paid_by(await tap(services)) == [("fuel", 3, None), ("once_only", 7, "week")]
    assert paid_by(await tap(services, "m-2")) == [("fuel", 3, None)]
    assert await left(services) == (3, None)


async def test_a_member_gets_no_more_than_the_limit_of_members(services: Services) -> None:
    await approve(services, week(TWICE_A_DAY, budget={"points_per_member": 20}))
    for number in range(3):
        await review(services, f"r-{number}")
        advance(services, DAY)
    await review(services, "r-other", "m-2")
    assert await granted(services) == [("m-1", 7), ("m-1", 7), ("m-2", 7)]


async def test_members_with_one_device_share_its_limit(services: Services) -> None:
    await approve(services, week(TALK, budget={"per_device": 1}))
    async with transaction(services.db) as conn:
        for member in ("m-1", "m-2"):
            await conn.exec_driver_sql(
                "INSERT INTO member_traits VALUES ($1, $2, 'device', $3, $4)",
                (PROGRAM, member, b"phone", services.clock.now()),
            )
    await act(services, share(1))
    assert (await refused(services, share(2), "m-2")).code == Code.BUDGET_EXHAUSTED


async def test_an_activity_that_is_told_again_takes_nothing_more(services: Services, other: Services) -> None:
    await approve(services, week(TWICE_A_DAY, budget={"points": 100, "count": 10}))
    await asyncio.gather(
        *(review(process, "r-1") for process in [services, other] * 4), return_exceptions=True
    )
    assert await granted(services) == [("m-1", 7)]
    assert await left(services) == (93, 9)


async def test_status_takes_no_points(services: Services) -> None:
    status = rule("stars", "review", {"type": "once_per", "field": "product_id"}, unit="status")
    await approve(services, week(status, budget={"points": 1, "count": 1}))
    assert ("stars", 7, "week") in paid_by(await review(services, "r-1"))
    assert await left(services) == (1, 1)


async def test_a_rule_is_paid_before_boosts_and_none_is_beside_one_that_is_not(services: Services) -> None:
    own = week(ONCE, budget={"points": 12}, boosts=[boost("fuel", multiply=3)])
    await approve(services, own)
    await approve(
        services, document("double", boosts=[boost("once_only", multiply=2)], budget={"points": 50})
    )
    first = await tap(services)
    assert [(c.rule, c.points, c.campaign) for c in first] == [
        ("fuel", 3, None),
        ("fuel", 5, "week"),
        ("once_only", 7, "week"),
        ("once_only", 7, "double"),
    ]
    second = await tap(services, "m-2")
    assert [(c.rule, c.points) for c in second] == [("fuel", 3)]
    async with transaction(services.db) as conn:
        double = (await read_left(conn, [(PROGRAM, "double")]))[PROGRAM, "double"]
    assert double.points == 43


async def test_a_rule_that_has_paid_for_ever_leaves_the_rest_of_the_budget_to_boosts(
    services: Services,
) -> None:
    await approve(services, week(ONCE, budget={"count": 3}, boosts=[boost("fuel", multiply=2)]))
    first = await tap(services)
    assert [(c.rule, c.points, c.campaign) for c in first] == [
        ("fuel", 3, None),
        ("fuel", 3, "week"),
        ("once_only", 7, "week"),
    ]
    await services.gate.forget([(PROGRAM, "m-1")])  # It may be lost at any moment.
    advance(services, DAY)
    second = await tap(services)
    assert [(c.rule, c.points) for c in second if c.campaign == "week"] == [("fuel", 3)]
    assert await left(services) == (None, 0)


async def test_an_order_is_not_paid_by_a_rule_whose_budget_is_not_enough_and_says_so(
    services: Services, other: Services
) -> None:
    await approve(services, week(SPENT, budget={"points": 15}))
    await pay(services, line("a", 10_000))
    assert await left(services) == (5, None)
    await pay(other, line("a", 8_000), order_id="o-2", member_id="m-2")
    found = await rows(
        services.db,
        "SELECT rule_id, why -> 'trace' FROM credits WHERE member_id = 'm-2' AND boost IS NULL"
        " AND unit = 'points'",
    )
    assert [rule_id for rule_id, _ in found] == ["purchase"]
    assert ["budget_exhausted", {"rule": "gift", "campaign": "week"}] in list(found[0][1])  # type: ignore[call-overload]
    await give_back(services, {"a": 1})
    assert await left(services) == (15, None)
    # What is told of the order later changes nothing of it.
    await deliver(other, order_id="o-2", member_id="m-2")
    assert "order:o-2:gift" not in await kept(services, "m-2")
    await pay(services, line("a", 8_000), order_id="o-3", member_id="m-2")
    assert (await kept(services, "m-2"))["order:o-3:gift"] == 8
    assert await left(services) == (7, None)


async def test_orders_of_one_batch_share_a_budget(services: Services, other: Services) -> None:
    await approve(services, week(SPENT, budget={"points": 25}))
    await other.campaigns.refresh(other.db)
    await asyncio.gather(
        *(
            pay(process, line("a", 10_000), order_id=f"o-{number}", member_id=f"m-{1 + number % 2}")
            for number, process in enumerate([services, other] * 3)
        )
    )
    assert [points for _, points in await granted(services)] == [10, 10]
    assert await left(services) == (5, None)
