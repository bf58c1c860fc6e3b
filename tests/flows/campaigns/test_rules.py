"""Campaigns bring rules of their own for a while: their slots, orders, confirmations and mergers."""

import asyncio
from datetime import timedelta
from typing import Any

from engage.domain.activity import AnyActivity, FuelTap, Share
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.rebuild import rebuild
from engage.flows.reads.home import read_home
from engage.flows.reads.tasks import read_tasks
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import ShareConfirmedEvent, ShareReference
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Services
from tests.flows.campaigns.test_orders import deliver, give_back, kept, line, pay
from tests.support.campaigns import act_on, approve, boost, document
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.tiers import PROGRAM, act, review, stored_credits, tap

FIVE_MINUTES = {"type": "after", "delay": "PT5M"}


def rule(id_: str, activity: str, limit: dict[str, Any], points: int = 7, **fields: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "title": id_,
        "on": {"activity": activity},
        "limit": limit,
        "award": {"type": "fixed", "points": points},
        "due": FIVE_MINUTES,
    } | fields


TWICE_A_DAY = rule("extra", "review", {"type": "per_window", "window": "day", "count": 2})
ONCE = rule("once_only", "fuel_tap", {"type": "once"})
SHARED = rule(
    "shared",
    "share",
    {"type": "per_window", "window": "day", "count": 1},
    due={"type": "on_confirmation", "within": "P7D"},
)
SPENT = rule(
    "gift",
    "order",
    {"type": "once_per", "field": "order_id"},
    award={"type": "per_spend", "points": 1, "step_minor": 1_000},
    due={"type": "on_delivery"},
)


def campaign(*rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return document("week", rules=rules, **fields)


async def refused(services: Services, activity: AnyActivity, member_id: str = "m-1") -> Refusal:
    named = MemberActivity(PROGRAM, member_id, activity, services.clock.now())
    (answer,) = await record(services, [named])
    assert isinstance(answer, Refusal), answer
    return answer


def paid_by(credits: Any) -> list[tuple[str, int, str | None]]:
    return sorted((credit.rule, credit.points, credit.campaign) for credit in credits if credit.boost is None)


async def test_a_rule_pays_beside_those_of_the_program_while_its_campaign_is_in_force(
    services: Services, other: Services
) -> None:
    week = campaign(ONCE, until="2026-11-23T00:00:00")
    await approve(services, week)
    assert paid_by(await tap(other)) == [("fuel", 3, None), ("once_only", 7, "week")]
    (row,) = await rows(
        services.db,
        "SELECT source_key, program_version, why ->> 'version' FROM credits WHERE campaign = 'week'",
    )
    assert tuple(row) == ("once_only", "1+week#1", "1+week#1")
    assert {
        version
        for (version,) in await rows(
            services.db, "SELECT program_version FROM credits WHERE campaign IS NULL"
        )
    } == {"1"}
    advance(services, DAY)
    assert [each[0] for each in paid_by(await tap(services))] == ["fuel", "fuel_bonus"]
    advance(services, DAY)
    assert paid_by(await tap(services, "m-2")) == [("fuel", 3, None)]


async def test_what_only_a_campaign_pays_is_offered_while_it_is_in_force(services: Services) -> None:
    share = Share(kind="link", product_id="p", share_id="s-1")
    assert (await refused(services, share)).code == Code.NOT_OFFERED
    week = campaign(rule("talk", "share", {"type": "per_window", "window": "day", "count": 1}))
    await approve(services, week)
    assert paid_by(await act(services, share)) == [("talk", 7, "week")]
    again = await refused(services, Share(kind="link", product_id="p", share_id="s-2"))
    assert again.code == Code.LIMIT_REACHED
    await act_on(services, week, "ended", at=services.clock.now())
    advance(services, DAY)
    assert (await refused(services, share)).code == Code.NOT_OFFERED
    # Told late, it is judged by what was in force then.
    then = services.clock.now() - DAY
    assert paid_by(await act(services, share, "m-2", at=then)) == [("talk", 7, "week")]


async def test_a_window_is_kept_whatever_the_gate_knows(services: Services, other: Services) -> None:
    week = campaign(TWICE_A_DAY)
    await approve(services, week)
    answers = await asyncio.gather(
        *(review(process, f"r-{number}") for number, process in enumerate([services, other] * 4))
    )
    assert sum(credit.rule == "extra" for credits in answers for credit in credits) == 2
    await act_on(services, week, "paused", at=services.clock.now())
    advance(services, timedelta(seconds=2))
    await services.gate.forget_all()
    await review(services, "r-loaded")  # The gate is loaded while the campaign is paused.
    await act_on(services, week, "resumed", at=services.clock.now())
    advance(services, timedelta(seconds=2))
    assert [each[0] for each in paid_by(await review(services, "r-9"))] == ["review", "review_status"]
    await rebuild(services)
    assert [each[0] for each in paid_by(await review(services, "r-10"))] == ["review", "review_status"]
    advance(services, DAY)
    assert ("extra", 7, "week") in paid_by(await review(services, "r-11"))


async def test_a_rule_is_for_the_audience_alone(services: Services) -> None:
    await approve(services, campaign(TWICE_A_DAY, audience={"tiers": ["silver"]}))
    assert paid_by(await review(services, "r-1")) == [("review", 20, None), ("review_status", 5, None)]
    await pay(services, line("a", 100_00))
    assert ("extra", 7, "week") in paid_by(await review(services, "r-2"))
    assert ("extra", 7, "week") not in paid_by(await review(services, "r-3", "m-2"))


async def test_a_rule_of_a_campaign_is_boosted_by_levels_and_by_campaigns_that_name_it(
    services: Services,
) -> None:
    await approve(services, campaign(TWICE_A_DAY))
    await approve(services, document("double", boosts=[boost("extra", multiply=2)]))
    await pay(services, line("a", 300_00))
    found = [c for c in await review(services, "r-1") if c.rule == "extra"]
    assert [(c.points, c.boost, c.campaign) for c in found] == [
        (7, None, "week"),
        (7, "tier:gold", None),
        (7, "more", "double"),
    ]


async def test_a_rule_shares_the_slot_of_a_rule_of_the_program(services: Services) -> None:
    await approve(services, campaign(rule("extra", "review", {"type": "same_as", "rule": "review"})))
    assert ("extra", 7, "week") in paid_by(await review(services, "r-1"))
    assert set(await stored_credits(services)) == {"review:r-1", "review_status:r-1", "extra:r-1"}


async def test_each_version_of_a_campaign_pays_by_its_own_rule(services: Services) -> None:
    await approve(services, campaign(TWICE_A_DAY))
    richer = campaign(TWICE_A_DAY | {"award": {"type": "fixed", "points": 9}})
    await approve(services, richer, version=2, at=services.clock.now())
    first = await review(services, "r-1")
    advance(services, timedelta(seconds=2))
    second = await review(services, "r-2")
    assert [c.points for c in (*first, *second) if c.rule == "extra"] == [7, 9]
    assert [
        str(version)
        for (version,) in await rows(
            services.db, "SELECT program_version FROM credits WHERE campaign = 'week' ORDER BY id"
        )
    ] == ["1+week#1", "1+week#2"]


async def test_a_share_is_confirmed_by_the_rule_that_paid_it(services: Services, other: Services) -> None:
    week = campaign(SHARED)
    await approve(services, week)
    await act(services, Share(kind="link", product_id="p", share_id="s-1"))
    await act_on(services, week, "ended", at=services.clock.now())
    advance(services, DAY)
    event = ShareConfirmedEvent(
        id="c-1",
        program=PROGRAM,
        member_id="m-1",
        time=other.clock.now(),
        data=ShareReference(share_id="s-1"),
    )
    assert not (await take_events(other, [event])).refused
    await settle_due(other, now=other.clock.now())
    assert (await stored_credits(other))["shared:2026-11-21:1"][:2] == ("active", 7)


async def test_an_order_keeps_the_rules_of_its_payment(services: Services, other: Services) -> None:
    week = campaign(SPENT, boosts=[boost("gift", "purchase", multiply=2)])
    await approve(services, week)
    await pay(services, line("a", 10_000), line("b", 5_000))
    await act_on(services, week, "ended", at=services.clock.now())
    advance(services, DAY)
    await pay(other, line("a", 10_000), order_id="o-2")
    await give_back(other, {"b": 1})
    await deliver(other)
    found = await kept(other)
    assert {key: points for key, points in found.items() if key.startswith("order:o-1")} == {
        "order:o-1:purchase": 100,
        "order:o-1:purchase+week": 100,
        "order:o-1:gift": 10,
        "order:o-1:gift+week": 10,
    }
    assert [key for key in found if key.startswith("order:o-2")] == [
        "order:o-2:purchase",
        "order:o-2:purchase+tier:spend",
    ]
    await give_back(other, {"a": 1})
    assert not any(points for key, points in (await kept(other)).items() if key.startswith("order:o-1"))
    (stored,) = await rows(other.db, "SELECT program_version FROM orders WHERE order_id = 'o-1'")
    assert stored == ("1+week#1",)


async def test_a_merged_member_has_used_the_slots_of_both(services: Services) -> None:
    await approve(services, campaign(TWICE_A_DAY, ONCE, SPENT))
    for member in ("m-1", "m-2"):
        await tap(services, member)
        await review(services, f"r-{member}", member)
        await pay(services, line("a", 10_000), order_id=f"o-{member}", member_id=member)
    await merge_members(services, PROGRAM, "m-1", into="m-2", reason="test", operator="test")
    await services.members.refresh(services.db)
    assert ("extra", 7, "week") not in paid_by(await review(services, "r-3", "m-2"))
    found = await kept(services, "m-2")
    assert found["order:o-m-1:gift"] == 10
    # Each had it once; pending, it is paid once.
    assert [key for key in found if key.startswith("once_only") and found[key]] == ["once_only"]
    await deliver(services, order_id="o-m-1", member_id="m-2")
    assert (await stored_credits(services, "m-2"))["order:o-m-1:gift"][0] == "active"


async def test_joining_is_paid_by_a_campaign_once_in_a_life(services: Services) -> None:
    joining = rule("welcome", "registration", {"type": "once"}, 50)
    await approve(services, campaign(joining, audience={"joined_after": "2026-11-21T00:00:00"}))
    for expected in ([("welcome", 50, "week")], []):
        registration = MemberRegistration(
            member_id=f"new-{len(expected)}", program=PROGRAM, country="IN", person_ref="person-1"
        )
        registered = await register_member(services, registration)
        assert paid_by(registered.credits) == expected
        await erase_member(services, PROGRAM, f"new-{len(expected)}", operator="test")


async def test_the_answer_to_a_registration_has_what_boosts_it(services: Services) -> None:
    await approve(services, campaign(rule("welcome", "registration", {"type": "once"}, 50)))
    await approve(services, document("double", boosts=[boost("welcome", multiply=2)]))
    registration = MemberRegistration(member_id="new", program=PROGRAM, country="IN")
    registered = await register_member(services, registration)
    assert [(each.points, each.campaign, each.boost) for each in registered.credits] == [
        (50, "week", None),
        (50, "double", "more"),
    ]


async def test_the_home_screen_and_tasks_show_rules_of_campaigns(services: Services) -> None:
    await approve(services, campaign(TWICE_A_DAY, ONCE))
    await review(services, "r-1")
    home = await read_home(services, PROGRAM, "m-1")
    assert [(limit.rule, limit.remaining) for limit in home.limits] == [("extra", 1)]
    found = await read_tasks(services, PROGRAM, "m-1")
    tasks = {task.rule: task for task in found.tasks}
    assert (tasks["extra"].state, tasks["extra"].remaining) == ("open", 1)
    assert tasks["once_only"].state == "open"
    await tap(services)
    tasks = {task.rule: task for task in (await read_tasks(services, PROGRAM, "m-1")).tasks}
    assert tasks["once_only"].state == "done"
    assert found.context is not None
    assert found.context.terms.campaigns == {"extra": "week", "once_only": "week"}


async def test_two_processes_pay_a_rule_once_however_many_ask(services: Services, other: Services) -> None:
    await approve(services, campaign(ONCE))
    named = MemberActivity(PROGRAM, "m-1", FuelTap(), services.clock.now())
    await asyncio.gather(*(record(process, [named]) for _ in range(10) for process in (services, other)))
    assert [key for key in await stored_credits(services) if key.startswith("once")] == ["once_only"]
